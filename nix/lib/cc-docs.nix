# The reference of Co-op Cloud on NixOS, as Markdown: options of apps and of the base, and what each app is by itself.
#
#   nix/tests/coop-cloud-docs.sh          is docs/reference/coop-cloud-options.md fresh?
#   nix/tests/coop-cloud-docs.sh --update writes it
#
# Nothing of it depends on which `lib` it runs on: types are not shown.
{
  lib ? import ../minilib,
}:
let
  cc = import ./cc-settings.nix;
  inherit (builtins)
    attrNames
    concatStringsSep
    isAttrs
    map
    replaceStrings
    toJSON
    ;
  inherit (import ./coop-cloud.nix) ccApps ccAppSettings;

  # Values as they are written in Nix; only what defaults are made of.
  show =
    value:
    if value == null then
      "null"
    else if value == { } then
      "{ }"
    else if builtins.isList value then
      (if value == [ ] then "[ ]" else "[ ${concatStringsSep " " (map show value)} ]")
    else if isAttrs value then
      "{ ${concatStringsSep " " (map (n: "${n} = ${show value.${n}};") (attrNames value))} }"
    else
      toJSON value;

  cell = replaceStrings [ "|" "\n" ] [ "\\|" " " ];
  code = text: "`${text}`";

  isOption = x: isAttrs x && x._type or null == "option";
  # [ { name; option; } ] of a tree of options, in the order of their names, without what is internal.
  flat =
    prefix: tree:
    lib.concatMap (
      n:
      let
        at = "${prefix}${n}";
        x = tree.${n};
      in
      if !(isOption x) then
        flat "${at}." x
      else if x.internal or false then
        [ ]
      else
        [
          {
            name = at;
            option = x;
          }
        ]
    ) (attrNames tree);

  defaultOf =
    option:
    if option ? defaultText then
      code (option.defaultText.text or (show option.defaultText))
    else if option ? default then
      code (show option.default)
    else
      "";
  table =
    tree:
    concatStringsSep "\n" (
      [
        "| option | default | meaning |"
        "|---|---|---|"
      ]
      ++ map (o: "| ${code o.name} | ${defaultOf o.option} | ${cell o.option.description} |") (flat "" tree)
    );

  generic = cc.fill {
    recipe = "<recipe>";
    appName = "app";
  };
  appOptions = import ./cc-options.nix {
    inherit lib;
    app = generic // {
      appName = "<app>";
    };
    cfg = { };
  };
  secretOptions = removeAttrs (appOptions.secrets.type.nestedTypes.elemType.getSubOptions [ ]) [ "_module" ];
  base = import ../nixos/coop-cloud-base.nix {
    inherit lib;
    config = { };
    pkgs = throw "options do not need pkgs";
  };

  appRow =
    name:
    let
      app = cc.fill (import (../apps + "/${name}.nix") { mkCcApp = given: given; });
      settings = ccAppSettings name { domain = "<domain>"; };
      gate =
        (
          if settings.gate ? http then
            [ "${code (lib.removePrefix "https://<domain>" settings.gate.http.url)}: ${concatStringsSep ", " (map toString settings.gate.http.expect)}" ]
          else
            [ ]
        )
        ++ (if settings.gate ? tcp then [ "tcp ${toString settings.gate.tcp.port}" ] else [ ])
        ++ map (p: "${code p.http.url}: ${concatStringsSep ", " (map toString p.http.expect)}") settings.probes;
      # What a host with a proxy knows by itself is not asked for.
      needs =
        map (r: code "env.${r.name}") (builtins.filter (r: !(name == "mailu" && r.name == "TRAEFIK_STACK_NAME")) app.requiredEnv)
        ++ map (n: code "secrets.${n}") (
          builtins.filter (n: app.recipeSecrets.${n}.required or false) (attrNames app.recipeSecrets)
        );
      ports = map (p: "${toString p}/tcp") app.tcpPorts ++ map (p: "${toString p}/udp") app.udpPorts;
    in
    "| ${code name} | ${concatStringsSep "; " gate} | ${toString settings.gate.timeoutSeconds} | ${toString settings.timeoutSeconds} | ${
      if settings.stateful then "yes" else ""
    } | ${concatStringsSep ", " needs} | ${concatStringsSep ", " ports} |";
in
''
  # Co-op Cloud on NixOS: options

  <!-- Written by `nix/lib/cc-docs.nix` from the options themselves. Do not edit. -->

  [How to use them](../how-to/coop-cloud-nixos.md). Defaults of an app that its file in `nix/apps` says otherwise stand in the last table.

  ## `services.coop-cloud.<app>`

  ${table appOptions}

  ## `services.coop-cloud.<app>.secrets.<name>`

  ${table secretOptions}

  ## `services.coop-cloud.drone.runner`

  ${table ((cc.moduleOf (cc.fill (import ../apps/drone.nix { mkCcApp = given: given; })) "cc-app-drone") {
    inherit lib;
    config = { };
    options = { };
    pkgs = throw "options do not need pkgs";
  }).options.services.coop-cloud.drone.runner}

  ## `services.coop-cloud-base`

  ${table base.options.services.coop-cloud-base}

  ## `mkCcApp`

  Every option of an app that has a default of its own is also a parameter of `mkCcApp`, and so are `recipe`, `appName` (the last part of the recipe's name when left out), and these of the recipe:

  | parameter | meaning |
  |---|---|
  | `requiredEnv` | `[ { name; example; why; } ]`: settings without which the recipe cannot run; each is an assertion |
  | `recipeSecrets` | per secret: `as` (`"swarm"` or `"path"`), `variable`, `versionVariable`, `rotation`, `required`, `why`, `restartUnits` |
  | `checks` | `[ { assertion; message; } ]`, or a function to it |
  | `tcpPorts`, `udpPorts` | ports that the recipe publishes on the host |
  | `module` | a NixOS module that belongs to the app, or a function of `{ appName, unit, … }` to it |

  `env`, `probes` and `checks` may be functions of `{ domain, appName, stackName, proxyStackName, … }`; the last two also see the whole `env`.

  ## The apps

  | app | healthy when | seconds to be healthy | seconds to settle | data | needs | ports |
  |---|---|---|---|---|---|---|
  ${concatStringsSep "\n" (map appRow (attrNames ccApps))}

  Where each of these is from, or that it is unverified, stands in `nix/apps/<app>.nix`.

  ## Settings

  What a unit hands to Freehold, `freehold.app-settings/1`, one JSON object. It is at `/etc/coop-cloud/<app>.json` as well, for commands by hand.

  | field | meaning |
  |---|---|
  | `format` | `freehold.app-settings/1` |
  | `recipe`, `name`, `domain` | the recipe, the app's name here, its domain (its name for abra) |
  | `version` | a recipe's version or a commit; `null` for the newest, chosen once |
  | `policy` | `{ mode, upTo }`: `pinned` is exactly `version`, `auto` has it as the floor ([rollouts](rollout.md)) |
  | `env` | the `.env`, by name; names that are not here stay as they are |
  | `gate` | the gate ([rollouts](rollout.md)); without `http`, `tcp` and `exec` it is Swarm's own settling |
  | `probes` | further gates that must all be good |
  | `stateful` | whether volumes are copied before an upgrade |
  | `timeoutSeconds` | for Swarm to settle |
  | `after` | units that come first |
  | `secrets` | `[ { name, file, rotation, version, versionVariable } ]`: Swarm secrets by the file with their value. `rotation` is `version` or `content`; the last two may be missing |
  | `generateSecrets` | whether other secrets of the recipe are made up, once |
''
