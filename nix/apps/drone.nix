# Drone, a CI server that logs in by Gitea, and the exec runner of the same host: a service of systemd, since its jobs drive the
# host's own Swarm.
#
# One RPC secret is shared: the server has it as the Swarm secret `rpc_secret`, the runner reads the same file. Drone's exec
# runner has had no release since 2020; should it fail, the fallback is Woodpecker, whose server is a recipe, too, and whose
# agent NixOS has a module for (docs/how-to/coop-cloud-nixos.md).
#
# Settings and secrets as cc-ci uses them (DECISIONS, "Drone deployment shape"); GITEA_CLIENT_ID, GITEA_DOMAIN and the name
# `client_secret` are unverified. Nothing of this has run here: the images could not be had.
{ mkCcApp, ... }:
mkCcApp {
  recipe = "drone";
  composeFiles = [ "compose.gitea.yml" ];
  # docs.drone.io: the server answers `/healthz` with 200 (unverified).
  healthPath = "/healthz";
  healthOk = [ 200 ];
  # Unverified.
  healthTimeout = 120;
  # Unverified.
  timeout = 300;
  # sqlite.
  stateful = true;

  recipeSecrets = {
    rpc_secret = {
      required = true;
      why = "the runner has to have the same one";
    };
    client_secret = {
      required = true;
      why = "it is the secret that Gitea gave the OAuth application";
    };
  };
  requiredEnv = [
    {
      name = "GITEA_DOMAIN";
      example = "git.example.org";
      why = "people log in there";
    }
    {
      name = "GITEA_CLIENT_ID";
      example = "0b7c1f2e-5a4d-4c1b-9f0e-3d2a1b0c9e8f";
      why = "it is the name of the OAuth application in Gitea, with the redirect `https://<domain>/login`";
    }
  ];

  module =
    { appName, unit, ... }:
    {
      config,
      lib,
      options,
      pkgs,
      ...
    }:
    let
      inherit (lib)
        mkIf
        mkMerge
        mkOption
        types
        ;
      cfg = config.services.coop-cloud.${appName};
      # Two servers on one host have a runner each.
      runnerUnit = if appName == "drone" then "drone-runner-exec" else "drone-runner-exec-${appName}";
      runner = cfg.runner;
      rpcSopsPath = cfg.secrets.rpc_secret.sopsPath or null;
      rpcSecret = lib.findFirst (s: s.name == "rpc_secret") null cfg.settings.secrets;
      # The runner takes the secret from its environment only; it gets there from a credential, not from the store.
      start = pkgs.writeShellApplication {
        name = "drone-runner-exec";
        runtimeInputs = [ pkgs.coreutils ];
        text = ''
          DRONE_RPC_SECRET="$(cat "$CREDENTIALS_DIRECTORY/rpc_secret")"
          export DRONE_RPC_SECRET
          exec ${runner.package}/bin/drone-runner-exec daemon
        '';
      };
    in
    {
      options.services.coop-cloud.${appName}.runner = {
        enable = mkOption {
          type = types.bool;
          default = true;
          description = "Whether to run the exec runner on this host.";
        };
        package = mkOption {
          type = types.package;
          default = pkgs.drone-runner-exec or (throw "services.coop-cloud.${appName}.runner.package: this nixpkgs has no `drone-runner-exec`; name the package, or turn the runner off and use Woodpecker");
          defaultText = lib.literalExpression "pkgs.drone-runner-exec";
          description = "The package with `bin/drone-runner-exec`.";
        };
        capacity = mkOption {
          type = types.ints.positive;
          default = 2;
          description = "Jobs at the same time.";
        };
        path = mkOption {
          type = types.listOf types.raw;
          default = [ ];
          description = "Programs for jobs, besides bash, coreutils, docker, git, Nix and freehold.";
        };
      };

      config = mkIf (cfg.enable && runner.enable) (mkMerge [
        {
          systemd.services.${runnerUnit} = {
            description = "Drone exec runner for ${if cfg.domain == null then "drone.invalid" else cfg.domain}";
            after = [
              "network-online.target"
              "sops-install-secrets.service"
              "${unit}.service"
            ];
            # It asks the server again and again: a server that is away is no failure of the runner.
            wants = [
              "network-online.target"
              "${unit}.service"
            ];
            wantedBy = [ "multi-user.target" ];
            path = [
              pkgs.bash
              pkgs.coreutils
              config.nix.package
              config.services.coop-cloud-base.package
            ]
            ++ config.services.coop-cloud-base.path
            ++ runner.path;
            environment = config.services.coop-cloud-base.environment // {
              # docs.drone.io/runner/exec/configuration/reference
              DRONE_RPC_PROTO = "https";
              DRONE_RPC_HOST = if cfg.domain == null then "drone.invalid" else cfg.domain;
              DRONE_RUNNER_CAPACITY = toString runner.capacity;
              DRONE_RUNNER_NAME = config.networking.hostName;
              # Its own page would listen on port 3000 of all addresses.
              DRONE_UI_DISABLED = "true";
            };
            serviceConfig = {
              ExecStart = "${start}/bin/drone-runner-exec";
              LoadCredential = lib.optional (
                rpcSecret != null && rpcSecret.file != null
              ) "rpc_secret:${rpcSecret.file}";
              Restart = "always";
              RestartSec = 10;
            };
          };
        }
        # It has read the secret when it started.
        (lib.optionalAttrs (options ? sops) {
          sops.secrets = mkIf (rpcSopsPath != null) { ${rpcSopsPath}.restartUnits = [ "${runnerUnit}.service" ]; };
        })
      ]);
    };
}
