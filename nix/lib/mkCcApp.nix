# mkCcApp :: parameters -> NixOS module
#
# A Co-op Cloud app as units of NixOS; the recipe stays upstream and unchanged.
#
#   mkCcApp {
#     recipe = "ghost";                       # name of the recipe
#     appName = "ghost";                      # `services.coop-cloud.<appName>`, `cc-app-<appName>.service`
#     healthPath = "/ghost/api/admin/site/";
#     healthOk = [ 200 ];
#     stateful = true;
#   }
#
# The module declares `services.coop-cloud.<appName>` (`cc-options.nix`) and, once it is enabled, emits
#   - `cc-app-<appName>.service`: a oneshot that makes the app what is declared; at boot and on each activation,
#   - `cc-app-<appName>-reconcile.service` and its timer with `autoUpdate`: looks for a newer version, with snapshot, gate,
#     rollback and alert; without the timer where `services.coop-cloud-base.sweep` goes over all apps,
#   - `sops.secrets.*` for secrets with a `sopsPath`.
#
# No unit has a sentinel that says "has run once": a deleted stack or secret is made again by the next run, and what cannot be
# made leaves a failed unit. `freehold` ends with 4 when an update is held; an alert stands then, and the unit is content.
# What is no longer enabled is no longer looked after; it runs on until `freehold app undeploy`.
#
# All parameters with their defaults stand in `cc-settings.nix`.
given:
let
  cc = import ./cc-settings.nix;
  systemd = import ./systemd.nix;
  app = cc.fill given;
  inherit (app) appName recipe;
  unit = if app.unitName == null then "cc-app-${appName}" else app.unitName;
  option = "services.coop-cloud.${appName}";

  assertionsOf = import ./cc-assertions.nix;

  module =
    {
      config,
      lib,
      options,
      pkgs,
      ...
    }:
    let
      inherit (lib) mkIf mkMerge;
      cfg = config.services.coop-cloud.${appName};
      base = config.services.coop-cloud-base;
      # Whoever turns Traefik off has a proxy of his own, and nothing waits for ours.
      proxy = config.services.coop-cloud.traefik;
      behindProxy = app.needsProxy && proxy.enable;

      hasSops = options ? sops;
      fileOf =
        secret:
        if secret.sopsPath == null then
          secret.file
        else if hasSops then
          config.sops.secrets.${secret.sopsPath}.path
        else
          # An assertion says that sops-nix is missing.
          "/run/secrets/${secret.sopsPath}";
      values = builtins.intersectAttrs cc.defaults cfg // {
        # Where nothing is named yet an assertion says so; the rest must still evaluate.
        domain = if cfg.domain == null then "${appName}.invalid" else cfg.domain;
        secrets = builtins.mapAttrs (_: s: s // { file = fileOf s; }) cfg.secrets;
        proxyStackName = if proxy.enable then cc.stackOf proxy.settings.domain proxy.settings.env else null;
      };
      sopsSecrets = lib.filterAttrs (_: s: s.sopsPath != null) cfg.secrets;

      freehold =
        verb:
        systemd.commandLine [
          "${base.package}/bin/freehold"
          "app"
          verb
          values.domain
          "--settings"
          "${cfg.settingsFile}"
        ];

      # Longer than all that Freehold itself waits for: there, back, and the copies in between.
      longest = 4 * (cfg.timeout + cfg.healthTimeout) + 7200;

      common = {
        after = [
          "docker.service"
          "network-online.target"
          # Where sops-nix decrypts in a unit of its own.
          "sops-install-secrets.service"
          "swarm-init.service"
        ]
        ++ lib.optional behindProxy "deploy-proxy.service"
        ++ cfg.after;
        requires = [ "docker.service" ];
        wants = [ "network-online.target" ] ++ lib.optional behindProxy "deploy-proxy.service" ++ cfg.after;
        inherit (base) path environment;
        # Started by activations and people only; somebody who mends something may start it often.
        unitConfig.StartLimitIntervalSec = 0;
        serviceConfig = {
          Type = "oneshot";
          SuccessExitStatus = 4;
          StateDirectory = "coop-cloud";
          TimeoutStartSec = longest;
        };
      };
    in
    {
      options.services.coop-cloud.${appName} = import ./cc-options.nix { inherit lib app cfg; };

      config = mkMerge [
        {
          services.coop-cloud.${appName} = {
            settings = cc.settingsOf app values;
            settingsFile = pkgs.writeText "${unit}.json" (builtins.toJSON cfg.settings);
            # What mkCcApp was given, as definitions that an operator's own add to.
            inherit (app) secrets;
            composeFiles = lib.mkBefore app.composeFiles;
            after = lib.mkBefore app.after;
          };
        }
        (mkIf cfg.enable {
          services.coop-cloud-base = {
            apps.${appName} = {
              domain = values.domain;
              stack = cc.stackOf values.domain cfg.settings.env;
              unit = "${unit}.service";
              inherit (cfg) settingsFile;
            };
          }
          # The proxy is enabled by the base, not the other way round.
          // lib.optionalAttrs (app.unitName == null) { enable = lib.mkDefault true; };
          assertions = assertionsOf {
            inherit
              lib
              app
              cfg
              option
              hasSops
              ;
            checks = cc.checksOf app values;
            env = cc.envOf app values;
          };
          warnings = map (
            name:
            "${option}.env.${name} looks like a secret, and the Nix store can be read by everybody on the machine: use `${option}.secrets`"
          ) (builtins.filter (name: looksSecret name cfg.env.${name}) (builtins.attrNames cfg.env));

          environment.etc."coop-cloud/${appName}.json".source = cfg.settingsFile;
          networking.firewall = mkIf cfg.openFirewall {
            allowedTCPPorts = app.tcpPorts;
            allowedUDPPorts = app.udpPorts;
          };

          systemd.services.${unit} = mkMerge [
            common
            {
              description = "Co-op Cloud app ${appName} at ${values.domain}";
              requires = [ "swarm-init.service" ];
              wantedBy = [ "multi-user.target" ];
              # Each activation restarts `swarm-init`, and `Requires=` carries that on to here, in order. A restart of its own
              # would come too early: switch-to-configuration asks for one unit after the other, by name.
              restartIfChanged = false;
              stopIfChanged = false;
              serviceConfig = {
                RemainAfterExit = true;
                ExecStart = freehold "deploy";
              };
            }
          ];
        })
        (mkIf (cfg.enable && cfg.autoUpdate) {
          systemd.services."${unit}-reconcile" = mkMerge [
            common
            {
              description = "Update of the Co-op Cloud app ${appName} at ${values.domain}";
              after = [ "${unit}.service" ];
              # An update that is under way is not broken off by an activation: so no `Requires=` of `swarm-init`, which is
              # restarted by each one and would carry it on.
              restartIfChanged = false;
              stopIfChanged = false;
              serviceConfig.ExecStart = freehold "reconcile";
            }
          ];
          # One sweep over all apps takes the place of the timers.
          systemd.timers."${unit}-reconcile" = mkIf (!base.sweep.enable) {
            description = "Update of the Co-op Cloud app ${appName}";
            wantedBy = [ "timers.target" ];
            timerConfig = {
              OnCalendar = cfg.updateSchedule;
              Persistent = true;
            };
          };
        })
        # Only where sops-nix is there and somebody uses it.
        (lib.optionalAttrs hasSops {
          sops.secrets = mkIf cfg.enable (
            lib.mapAttrs' (
              name: s:
              lib.nameValuePair s.sopsPath (
                {
                  # A new value is looked at when the next activation decrypts it.
                  restartUnits = [ "${unit}.service" ] ++ app.recipeSecrets.${name}.restartUnits or [ ];
                }
                // lib.optionalAttrs (s.sopsFile != null) { inherit (s) sopsFile; }
              )
            ) sopsSecrets
          );
        })
      ];
    };

  # A variable that has the value of a secret rather than its version, its path or its length.
  looksSecret =
    name: value:
    builtins.match ".*(PASSWORD|PASSWD|SECRET|TOKEN|API_KEY|PRIVATE_KEY)" name != null
    && builtins.isString value
    && value != ""
    && builtins.substring 0 1 value != "/";
in
{
  _file = "mkCcApp (recipe ${recipe}, app ${appName})";
  # The base imports the proxy itself: imports that go round never end on nixpkgs' lib.
  imports = (if app.unitName == null then [ ../nixos/coop-cloud-base.nix ] else [ ]) ++ [
    module
    (cc.moduleOf app unit)
  ];
}
