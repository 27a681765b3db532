# NixOS module: what every Co-op Cloud app of a host stands on, `services.coop-cloud-base`.
#
# Docker, a Swarm of (at first) one node with the overlay network `proxy`, Traefik from its own recipe with a wildcard
# certificate and no ACME, the firewall, and a timer that removes images which nothing would go back to. Apps import this
# themselves; a host only says where its certificate lies.
#
# Every step is a oneshot that looks, and does what is missing: at boot, and on each activation, also when nothing in it has
# changed. For that the activation script names the units to `switch-to-configuration`. What is active is restarted by way of
# `swarm-init`: `Requires=` carries its restart on to all that comes after it, as one job, in order. (The others are
# "NOT restarted" by themselves, says `nixos-rebuild`.) What is not active, or has failed, is started.
#
# It joins no further nodes (`docker swarm join` does) and makes no certificate.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib)
    mkEnableOption
    mkIf
    mkMerge
    mkOption
    types
    ;
  cfg = config.services.coop-cloud-base;
  systemd = import ../lib/systemd.nix;
  cc = import ../lib/cc-settings.nix;
  names = builtins.attrNames;

  freehold = words: systemd.commandLine ([ "${cfg.package}/bin/freehold" "app" ] ++ words);
  freeholdAt = "${lib.escapeShellArg "${cfg.package}/bin/freehold"} app";

  infrastructure = {
    after = [ "docker.service" ];
    requires = [ "docker.service" ];
    inherit (cfg) path environment;
    unitConfig.StartLimitIntervalSec = 0;
    serviceConfig = {
      Type = "oneshot";
      StateDirectory = "coop-cloud";
    };
  };

  traefik = config.services.coop-cloud.traefik;
  # Files with the certificate; one of sops has a unit restarted for it (`mkCcApp`) and is not watched.
  certificates = builtins.filter (file: file != null) (
    map (n: if traefik.secrets.${n}.sopsPath or null == null then traefik.secrets.${n}.file or null else null) [
      "ssl_cert"
      "ssl_key"
    ]
  );
  # Where the certificate lies by itself: not when it is said to be in a file of sops.
  certificate =
    name: file:
    mkIf (traefik.secrets.${name}.sopsPath == null) (lib.mkDefault "${cfg.proxy.certificateDirectory}/${file}");

  reconciled = [ "swarm-init.service" ] ++ map (n: cfg.apps.${n}.unit) (names cfg.apps);

  # `freehold app reconcile --all` would take apps along that are no longer enabled: they keep their record and its policy.
  # How it ends is the same: with the gravest of all ends, in the order well, held, failed, unwell.
  sweep = ''
    worst=0
    look() { # DOMAIN SETTINGS
      code=0
      ${freeholdAt} reconcile "$1" --settings "$2" || code=$?
      case "$code,$worst" in
        130,*) exit 130 ;;
        0,* | 4,[!0]* | 1,[!04]*) ;;
        *) worst=$code ;;
      esac
    }
    ${lib.concatMapStringsSep "\n" (
      n:
      "look ${
        lib.escapeShellArgs [
          cfg.apps.${n}.domain
          "${cfg.apps.${n}.settingsFile}"
        ]
      }"
    ) (names cfg.apps)}
    exit "$worst"
  '';

  # Apps that would take each other's place: the same domain, or the same stack, whether they name it or Docker cuts it.
  clashes = builtins.concatMap (
    name:
    map (clash name) (builtins.filter (other: name < other && collide cfg.apps.${name} cfg.apps.${other}) (names cfg.apps))
  ) (names cfg.apps);
  # A proxy does not tell capitals apart.
  sameDomain = one: other: lib.toLower one.domain == lib.toLower other.domain;
  collide = one: other: sameDomain one other || one.stack == other.stack;
  clash =
    name: other:
    let
      one = cfg.apps.${name};
      isNamed = app: app.stack != cc.stackName app.domain;
      # Whoever names a stack can name another.
      named = if isNamed cfg.apps.${other} || !(isNamed one) then other else name;
      why =
        if isNamed one && isNamed cfg.apps.${other} then
          "both have it as `STACK_NAME`"
        else if isNamed cfg.apps.${named} then
          "`services.coop-cloud.${named}.env.STACK_NAME` says so"
        else
          "the first 45 characters of their domains are the same";
    in
    {
      assertion = false;
      message =
        if sameDomain one cfg.apps.${other} then
          "services.coop-cloud.${name} and services.coop-cloud.${other} have one domain, `${one.domain}`: give one of them another, such as `services.coop-cloud.${other}.domain = \"${other}.${one.domain}\";`"
        else
          "services.coop-cloud.${name} and services.coop-cloud.${other} would be one stack, `${one.stack}`: ${why}; give one of them another, such as `services.coop-cloud.${named}.env.STACK_NAME = \"${named}\";`";
    };
in
{
  imports = [ (import ../apps/traefik.nix { mkCcApp = import ../lib/mkCcApp.nix; }) ];

  options.services.coop-cloud-base = {
    enable = mkEnableOption "Docker Swarm and the proxy for Co-op Cloud apps; an enabled app enables it, too";
    package = mkOption {
      type = types.package;
      default = pkgs.freehold or (throw "services.coop-cloud-base.package: set it to the `freehold` package of the flake, or use its overlay");
      defaultText = lib.literalExpression "pkgs.freehold";
      description = "The package with `bin/freehold`.";
    };
    abraDir = mkOption {
      type = types.strMatching "/.*";
      default = "/root/.abra";
      description = "`$ABRA_DIR`: the apps' `.env` files, shared with abra. Outside the store, and changed by deployments.";
    };
    alertsDir = mkOption {
      type = types.strMatching "/.*";
      default = "/var/lib/coop-cloud/alerts";
      description = "Where `<app>.json` lies while an update of an app is held or has been taken back.";
    };
    recipeBase = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "https://git.example.org/recipes";
      description = "Where recipes are fetched from, one repository for each; the Co-op Cloud forge when left out.";
    };
    advertiseAddress = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "192.0.2.7";
      description = "The address that other nodes reach this one by; needed on hosts with several.";
    };
    openSwarmPorts = mkOption {
      type = types.bool;
      default = false;
      description = "Whether other nodes may join: opens 2377/tcp, 7946/tcp and udp, 4789/udp.";
    };
    proxy = {
      enable = mkOption {
        type = types.bool;
        default = true;
        description = "Whether to run Traefik from its recipe (`deploy-proxy.service`; its options are `services.coop-cloud.traefik`).";
      };
      domain = mkOption {
        type = types.str;
        default = "traefik.${config.networking.fqdnOrHostName}";
        defaultText = lib.literalExpression "\"traefik.\${config.networking.fqdnOrHostName}\"";
        description = "The name of Traefik itself, for its dashboard and its stack.";
      };
      certificateDirectory = mkOption {
        type = types.strMatching "/.*";
        default = "/var/lib/ci-certs/live";
        description = "Where the wildcard certificate lies. When it changes, Traefik gets it within seconds.";
      };
      certificate = mkOption {
        type = types.str;
        default = "fullchain.pem";
        description = "The file with the certificate and its chain, in `certificateDirectory`.";
      };
      key = mkOption {
        type = types.str;
        default = "privkey.pem";
        description = "The file with the private key, in `certificateDirectory`.";
      };
    };
    prune = {
      enable = mkOption {
        type = types.bool;
        default = true;
        description = "Whether images that no app runs and none would go back to are removed now and then.";
      };
      schedule = mkOption {
        type = types.str;
        default = "Sun 05:00:00";
        description = "When (`OnCalendar`).";
      };
    };
    sweep = {
      enable = mkEnableOption "one nightly run over all enabled apps, one after the other, instead of a timer for each; one failure stops no other";
      schedule = mkOption {
        type = types.str;
        default = "03:00:00";
        description = "When (`OnCalendar`).";
      };
    };
    apps = mkOption {
      internal = true;
      default = { };
      description = "The enabled apps.";
      type = types.attrsOf (
        types.submodule {
          options = {
            domain = mkOption { type = types.str; };
            stack = mkOption { type = types.str; };
            unit = mkOption { type = types.str; };
            settingsFile = mkOption { type = types.raw; };
          };
        }
      );
    };
    path = mkOption {
      internal = true;
      type = types.listOf types.raw;
      default = [
        config.virtualisation.docker.package
        pkgs.git
        pkgs.openssh
      ];
      description = "Programs that Freehold calls.";
    };
    environment = mkOption {
      internal = true;
      type = types.attrsOf types.str;
      description = "The environment of every unit.";
      default = {
        # git and docker look for their settings there.
        HOME = "/root";
        ABRA_DIR = cfg.abraDir;
        FREEHOLD_ALERTS = cfg.alertsDir;
      }
      // lib.optionalAttrs (cfg.recipeBase != null) { FREEHOLD_RECIPE_BASE = cfg.recipeBase; };
    };
  };

  config = mkIf cfg.enable (mkMerge [
    {
      assertions = clashes;
      environment.systemPackages = [ cfg.package ];
      # `freehold app …` by hand finds the same apps.
      environment.variables = removeAttrs cfg.environment [ "HOME" ];

      virtualisation.docker.enable = true;
      # dockerd refuses to be in a Swarm with it, and NixOS turns it on.
      virtualisation.docker.liveRestore = false;

      networking.firewall.allowedTCPPorts = [
        80
        443
      ]
      ++ lib.optionals cfg.openSwarmPorts [
        2377
        7946
      ];
      networking.firewall.allowedUDPPorts = lib.optionals cfg.openSwarmPorts [
        4789
        7946
      ];

      systemd.services.swarm-init = mkMerge [
        infrastructure
        {
          description = "Docker Swarm and its network `proxy`";
          after = [ "network-online.target" ];
          wants = [ "network-online.target" ];
          wantedBy = [ "multi-user.target" ];
          stopIfChanged = false;
          serviceConfig = {
            RemainAfterExit = true;
            TimeoutStartSec = 300;
            ExecStart = freehold (
              [
                "swarm"
                "init"
              ]
              ++ lib.optionals (cfg.advertiseAddress != null) [
                "--advertise-addr"
                cfg.advertiseAddress
              ]
            );
          };
        }
      ];

      system.activationScripts.coop-cloud = {
        supportsDryActivation = true;
        # At boot NIXOS_ACTION is not set, and systemd starts the units anyway.
        text = ''
          case "''${NIXOS_ACTION:-}" in
            switch|test) coopCloudList=/run/nixos/activation-restart-list ;;
            dry-activate) coopCloudList=/run/nixos/dry-activation-restart-list ;;
            *) coopCloudList= ;;
          esac
          if [ -n "$coopCloudList" ]; then
            mkdir -p /run/nixos
            printf '%s\n' ${lib.concatStringsSep " " reconciled} >> "$coopCloudList"
          fi
        '';
      };
    }

    (mkIf cfg.proxy.enable {
      services.coop-cloud.traefik = {
        enable = lib.mkDefault true;
        domain = lib.mkDefault cfg.proxy.domain;
        secrets.ssl_cert.file = certificate "ssl_cert" cfg.proxy.certificate;
        secrets.ssl_key.file = certificate "ssl_key" cfg.proxy.key;
      };
    })

    (mkIf (traefik.enable && certificates != [ ]) {
      # A renewed certificate reaches Traefik without an activation.
      systemd.paths.deploy-proxy-certificate = {
        description = "Watch over the wildcard certificate";
        wantedBy = [ "multi-user.target" ];
        pathConfig = {
          PathChanged = certificates;
          Unit = "deploy-proxy-certificate.service";
        };
      };
      systemd.services.deploy-proxy-certificate = mkMerge [
        infrastructure
        {
          description = "Give Traefik the renewed wildcard certificate";
          after = [ "deploy-proxy.service" ];
          restartIfChanged = false;
          serviceConfig = {
            inherit (config.systemd.services.deploy-proxy.serviceConfig) ExecStart SuccessExitStatus TimeoutStartSec;
            # Certificate and key are written one after the other.
            ExecStartPre = "${pkgs.coreutils}/bin/sleep 5";
          };
        }
      ];
    })

    (mkIf cfg.prune.enable {
      systemd.services.coop-cloud-prune = mkMerge [
        infrastructure
        {
          description = "Remove images of Co-op Cloud apps that nothing would go back to";
          restartIfChanged = false;
          serviceConfig = {
            ExecStart = freehold [ "prune" ];
            TimeoutStartSec = 3600;
          };
        }
      ];
      systemd.timers.coop-cloud-prune = {
        description = "Remove images of Co-op Cloud apps";
        wantedBy = [ "timers.target" ];
        timerConfig = {
          OnCalendar = cfg.prune.schedule;
          Persistent = true;
        };
      };
    })

    (mkIf cfg.sweep.enable {
      systemd.services.coop-cloud-sweep = mkMerge [
        infrastructure
        {
          description = "Nightly run over all enabled Co-op Cloud apps";
          after = reconciled;
          restartIfChanged = false;
          stopIfChanged = false;
          serviceConfig = {
            SuccessExitStatus = 4;
            # One app after the other; each has limits of its own.
            TimeoutStartSec = "infinity";
          };
          script = sweep;
        }
      ];
      systemd.timers.coop-cloud-sweep = {
        description = "Nightly run over all enabled Co-op Cloud apps";
        wantedBy = [ "timers.target" ];
        timerConfig = {
          OnCalendar = cfg.sweep.schedule;
          Persistent = true;
        };
      };
    })
  ]);
}
