# What the recipes of `../apps` are by themselves, as plain data: the members of deployments that `providers.workload.app` makes
# know the same defaults as the NixOS modules.
#
#   nix/tests/coop-cloud-docs.sh          is providers/workload/src/app/recipes.json fresh?
#   nix/tests/coop-cloud-docs.sh --update writes it
#
# What an app's file computes from its domain has `{domain}` in it. Checks that are functions stay here: they are NixOS's alone.
let
  cc = import ./cc-settings.nix;
  inherit (builtins) filter mapAttrs;
  inherit (import ./coop-cloud.nix) ccApps;

  without = names: set: removeAttrs set (filter (n: set.${n} == null || set.${n} == [ ] || set.${n} == { }) names);

  recipeOf =
    name: _:
    let
      app = cc.fill (import (../apps + "/${name}.nix") { mkCcApp = given: given; });
      values = cc.valuesOf app { domain = "{domain}"; };
      declared = cc.settingsOf app values;
      secret =
        n:
        let
          s = app.recipeSecrets.${n};
        in
        {
          required = s.required or false;
          why = s.why or "the recipe cannot make it up";
          variable = s.versionVariable or null;
        };
    in
    without
      [
        "composeFiles"
        "healthBody"
        "healthTcp"
        "probes"
        "requiredEnv"
        "secrets"
      ]
      {
        inherit (app)
          composeFiles
          healthBody
          healthOk
          healthPath
          healthTcp
          healthTimeout
          requiredEnv
          stateful
          timeout
          ;
        env = removeAttrs declared.env [ "COMPOSE_FILE" "TIMEOUT" ];
        inherit (declared) probes;
        secrets = mapAttrs (n: _: without [ "variable" ] (secret n)) app.recipeSecrets;
      };
in
# Traefik belongs to `coop-cloud-base.nix` there; a deployment may have it as a member.
mapAttrs recipeOf (ccApps // { traefik = null; })
