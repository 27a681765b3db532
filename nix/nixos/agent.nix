# NixOS module: the agent of a host, `services.freehold.agent`. It follows the manifest of a bucket and runs what names this host.
#
# One option, one meaning, as in `freehold agent run --help`. A service that runs, or with `timer` a round now and then.
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
    optionalAttrs
    types
    ;
  cfg = config.services.freehold.agent;

  arguments = [
    "--from"
    cfg.from
    "--host"
    cfg.host
    "--state"
    cfg.stateDir
    "--runtime"
    cfg.runtime
  ]
  ++ builtins.concatMap (key: [
    "--trusted-key"
    key
  ]) cfg.trustedKeys
  ++ lib.optionals cfg.createUsers [ "--create-users" ]
  ++ lib.optionals (cfg.report != null) [
    "--report"
    cfg.report
  ]
  ++ (
    if cfg.caddy.enable then
      [
        "--caddy"
        "unix/${cfg.caddy.socket}"
      ]
    else
      [ "--no-routes" ]
  )
  ++ cfg.extraArgs;

  inherit (import ../lib/systemd.nix) commandLine;
  command = verb: more: commandLine ([ "${cfg.package}/bin/freehold" "agent" verb ] ++ arguments ++ more);

  common = {
    description = "Freehold agent";
    after = [ "network-online.target" ] ++ lib.optionals cfg.caddy.enable [ "caddy.service" ];
    wants = [ "network-online.target" ];
    path = [ config.nix.package ];
    serviceConfig = {
      EnvironmentFile = lib.optionals (cfg.environmentFile != null) [ cfg.environmentFile ];
      # Credentials of buckets are looked up below the home, as the tools of AWS do.
      Environment = [ "HOME=/root" ];
      StateDirectory = lib.removePrefix "/var/lib/" cfg.stateDir;
      StateDirectoryMode = "0700";
    }
    # Supervisors of services are children of the agent that started them, and outlive it.
    // optionalAttrs (cfg.runtime == "process") { KillMode = "process"; };
  };
in
{
  options.services.freehold.agent = {
    enable = mkEnableOption "the Freehold agent of this host";
    package = mkOption {
      type = types.package;
      default = pkgs.freehold or (throw "services.freehold.agent.package: set it to the `freehold` package of the flake");
      description = "The package with `bin/freehold`.";
    };
    from = mkOption {
      type = types.str;
      example = "s3://shop?endpoint=s3.example.org&region=eu-1";
      description = "The bucket or directory with the manifest and the closures.";
    };
    host = mkOption {
      type = types.str;
      default = config.networking.hostName;
      description = "The name of this host in manifests.";
    };
    trustedKeys = mkOption {
      type = types.listOf types.str;
      example = [ "shop.example.org-1:nV0v…=" ];
      description = "Public keys whose manifests and closures are taken; Nix trusts them, too.";
    };
    stateDir = mkOption {
      type = types.str;
      default = "/var/lib/freehold";
      description = "Where the agent remembers, below `/var/lib`.";
    };
    runtime = mkOption {
      type = types.enum [
        "systemd"
        "process"
      ];
      default = "systemd";
      description = "What runs services that name no runtime.";
    };
    poll = mkOption {
      type = types.str;
      default = "5m";
      description = "Time between two looks at the manifest, such as `30s` or `5m`.";
    };
    timer = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "*:0/5";
      description = "Do a round at these times (`OnCalendar`) instead of running all the time.";
    };
    createUsers = mkOption {
      type = types.bool;
      default = false;
      description = "Whether the agent creates users and groups that services name.";
    };
    environmentFile = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "/run/secrets/freehold-agent";
      description = "A file with `AWS_ACCESS_KEY_ID` and its like, for reading the bucket.";
    };
    report = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "s3://shop-reports?endpoint=s3.example.org&profile=reports";
      description = "Where this host reports how it stands, for `freehold publish --wait`.";
    };
    metrics = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "127.0.0.1:9464";
      description = "Where Prometheus finds metrics, on the loopback interface; they are on `agent.sock` in the state anyway.";
    };
    substituter = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "https://cache.example.org";
      description = "The same cache by an address that Nix itself can read, if it has one.";
    };
    caddy = {
      enable = mkEnableOption "Caddy with an admin API that the agent sets routes by";
      socket = mkOption {
        type = types.str;
        default = "/run/caddy/admin.sock";
        description = "The socket of the admin API.";
      };
    };
    extraArgs = mkOption {
      type = types.listOf types.str;
      default = [ ];
      description = "Further arguments of the agent.";
    };
  };

  config = mkIf cfg.enable (mkMerge [
    {
      assertions = [
        {
          assertion = cfg.trustedKeys != [ ] || builtins.elem "--allow-unsigned" cfg.extraArgs;
          message = "services.freehold.agent.trustedKeys is empty: nobody's manifest would be followed; add what `freehold cache keygen` has printed";
        }
        {
          assertion = lib.hasPrefix "/var/lib/" cfg.stateDir;
          message = "services.freehold.agent.stateDir is `${cfg.stateDir}`: it has to be below /var/lib";
        }
      ];
      environment.systemPackages = [ cfg.package ];
      nix.settings.trusted-public-keys = cfg.trustedKeys;
      nix.settings.substituters = lib.optionals (cfg.substituter != null) [ cfg.substituter ];
    }
    (mkIf (cfg.timer == null) {
      systemd.services.freehold-agent = mkMerge [
        common
        {
          wantedBy = [ "multi-user.target" ];
          serviceConfig = {
            ExecStart = command "run" ([
              "--poll"
              cfg.poll
              "--leave-running"
            ]
            ++ lib.optionals (cfg.metrics != null) [
              "--metrics"
              cfg.metrics
            ]);
            # Not every host has a program `kill` where one would look for it.
            ExecReload = commandLine [ "${cfg.package}/bin/freehold" "agent" "poke" "--state" cfg.stateDir ];
            # It is ready after its first round, which may have to pull what is missing.
            Type = "notify";
            NotifyAccess = "main";
            TimeoutStartSec = "infinity";
            WatchdogSec = 120;
            Restart = "always";
            RestartSec = 5;
          };
        }
      ];
    })
    (mkIf (cfg.timer != null) {
      systemd.services.freehold-agent = mkMerge [
        common
        {
          serviceConfig = {
            Type = "oneshot";
            ExecStart = command "once" [ ];
          };
        }
      ];
      systemd.timers.freehold-agent = {
        wantedBy = [ "timers.target" ];
        timerConfig = {
          OnCalendar = cfg.timer;
          OnBootSec = "30s";
          Persistent = true;
        };
      };
    })
    (mkIf cfg.caddy.enable {
      services.caddy.enable = true;
      services.caddy.globalConfig = "admin unix/${cfg.caddy.socket}";
      systemd.services.caddy.serviceConfig.RuntimeDirectory = "caddy";
    })
  ]);
}
