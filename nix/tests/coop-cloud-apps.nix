# Every Co-op Cloud app: on with what it needs, off, and without what it needs.
#
# `table` is what a person reads: the gate, the times, whether its data are copied. `needs` is what an operator must say.
{ lib, freehold, ... }:
let
  inherit (import ./coop-cloud-host.nix { inherit lib; }) host rendered;
  inherit (freehold.lib) ccApps ccAppSettings;
  names = builtins.attrNames;
  broken = config: map (a: a.message) (builtins.filter (a: !a.assertion) config.assertions);

  maintained = [
    "bluesky-pds"
    "cryptpad"
    "custom-html"
    "custom-html-tiny"
    "discourse"
    "ghost"
    "hedgedoc"
    "immich"
    "keycloak"
    "lasuite-docs"
    "lasuite-drive"
    "lasuite-meet"
    "mailu"
    "matrix-synapse"
    "mattermost-lts"
    "mumble"
    "n8n"
    "plausible"
    "uptime-kuma"
  ];

  needs = import ./coop-cloud-needs.nix;

  bare = name: {
    enable = true;
    domain = "${name}.example.org";
    version = "1.2.3+4.5.6";
  };
  with_ = name: settings: host { modules = [ { services.coop-cloud.${name} = settings; } ]; };
  full = name: with_ name (bare name // needs.${name} or { });
  settingsOf = name: (full name).services.coop-cloud.${name}.settings;

  # "GET /path → 200,302 in 300s; tcp 25×3; settles in 600s; data"
  row =
    name:
    let
      s = settingsOf name;
      http = s.gate.http or null;
      tcp = s.gate.tcp or null;
    in
    lib.concatStringsSep "; " (
      lib.optional (http != null) "${lib.removePrefix "https://${name}.example.org" http.url} → ${
        lib.concatMapStringsSep "," toString http.expect
      }${if http ? bodyMatches then " ~ ${http.bodyMatches}" else ""}"
      ++ lib.optional (tcp != null) "tcp ${toString tcp.port}×${toString tcp.connects}"
      ++ map (p: "${p.http.url} → ${lib.concatMapStringsSep "," toString p.http.expect}") s.probes
      ++ [
        "healthy in ${toString s.gate.timeoutSeconds}s"
        "settled in ${toString s.timeoutSeconds}s"
      ]
      ++ lib.optional s.stateful "data"
    );

  # Whether the comment above a parameter names a source, or says that there is none. The times may share one.
  sourced =
    name: parameter:
    let
      text = builtins.readFile (../apps + "/${name}.nix");
      before = builtins.head (lib.splitString "\n  ${parameter} = " text);
      above = lib.last (lib.splitString "\n" before);
      isComment = lib.hasPrefix "  # " above;
      comment = lib.last (lib.splitString ";\n" before);
      says = lib.any (word: lib.hasInfix word comment) [
        "cc-ci"
        "https://"
        "ead in "
        "een as "
        "docs.drone.io"
        "nverified"
        "was not read"
      ];
    in
    before != text && isComment && says;

  lacking = name: broken (with_ name (bare name));
  named = name: map (m: builtins.head (lib.splitString " " m)) (lacking name);
in
{
  "all nineteen are there, and Drone" = {
    expr = names ccApps;
    expected = builtins.sort builtins.lessThan (maintained ++ [ "drone" ]);
  };
  "each has its gate, its times, and says whether it has data" = {
    expr = lib.genAttrs maintained row;
    expected = {
      bluesky-pds = "/xrpc/_health → 200 ~ \"version\"; healthy in 300s; settled in 600s; data";
      cryptpad = "/ → 200; healthy in 300s; settled in 600s; data";
      custom-html = "/ → 200,301,302,401,403,404; healthy in 60s; settled in 300s";
      custom-html-tiny = "/ → 200,301,302,404; healthy in 60s; settled in 300s";
      discourse = "/srv/status → 200; healthy in 600s; settled in 2400s; data";
      ghost = "/ghost/api/admin/site/ → 200; healthy in 120s; settled in 1200s; data";
      hedgedoc = "/_health → 200 ~ \"ready\" *: *true; healthy in 300s; settled in 600s; data";
      immich = "/api/server/ping → 200 ~ pong; healthy in 600s; settled in 900s; data";
      keycloak = "/realms/master → 200; healthy in 900s; settled in 900s; data";
      lasuite-docs = "/ → 200; healthy in 300s; settled in 900s; data";
      lasuite-drive = "/ → 200; https://collabora-lasuite-drive.example.org/hosting/discovery → 200; healthy in 600s; settled in 1200s; data";
      lasuite-meet = "/ → 200; healthy in 300s; settled in 900s; data";
      mailu = "/ → 200,301,302; tcp 25×3; healthy in 600s; settled in 900s; data";
      matrix-synapse = "/_matrix/client/versions → 200 ~ \"versions\"; healthy in 300s; settled in 900s; data";
      mattermost-lts = "/api/v4/system/ping → 200 ~ \"status\" *: *\"OK\"; healthy in 300s; settled in 600s; data";
      mumble = "tcp 64738×3; healthy in 120s; settled in 300s; data";
      n8n = "/healthz/readiness → 200; healthy in 300s; settled in 600s; data";
      plausible = "/api/health → 200; healthy in 600s; settled in 1200s; data";
      uptime-kuma = "/ → 200,302; healthy in 120s; settled in 300s; data";
    };
  };
  "each evaluates to its unit, with nothing missing" = {
    expr = builtins.filter (
      name:
      broken (full name) != [ ] || !((full name).systemd.services ? "cc-app-${name}")
    ) (names ccApps);
    expected = [ ];
  };
  "each that is off adds nothing beside another" = {
    expr = builtins.filter (
      name:
      let
        config = host {
          modules = [
            {
              services.coop-cloud.${name}.enable = false;
              services.coop-cloud-base.enable = true;
            }
          ];
        };
      in
      builtins.filter (lib.hasPrefix "cc-app-") (names config.systemd.services) != [ ] || broken config != [ ]
    ) (names ccApps);
    expected = [ ];
  };
  "each follows the newest with a timer of its own" = {
    expr = builtins.filter (
      name:
      !(
        (with_ name (bare name // needs.${name} or { } // { autoUpdate = true; })).systemd.timers
        ? "cc-app-${name}-reconcile"
      )
    ) (names ccApps);
    expected = [ ];
  };
  "what each needs is asked for by its name" = {
    expr = lib.filterAttrs (_: missing: missing != [ ]) (lib.genAttrs (names ccApps) named);
    expected = {
      cryptpad = [ "services.coop-cloud.cryptpad.env.SANDBOX_DOMAIN" ];
      drone = [
        "services.coop-cloud.drone.env.GITEA_DOMAIN"
        "services.coop-cloud.drone.env.GITEA_CLIENT_ID"
        "services.coop-cloud.drone.secrets.client_secret"
        "services.coop-cloud.drone.secrets.rpc_secret"
      ];
      lasuite-docs =
        map (n: "services.coop-cloud.lasuite-docs.env.${n}") [
          "OIDC_RP_CLIENT_ID"
          "OIDC_OP_JWKS_ENDPOINT"
          "OIDC_OP_AUTHORIZATION_ENDPOINT"
          "OIDC_OP_TOKEN_ENDPOINT"
          "OIDC_OP_USER_ENDPOINT"
          "OIDC_OP_LOGOUT_ENDPOINT"
        ]
        ++ [ "services.coop-cloud.lasuite-docs.secrets.oidc_rpcs" ];
      lasuite-meet = map (n: "services.coop-cloud.lasuite-meet.env.${n}") [
        "OIDC_RP_CLIENT_ID"
        "OIDC_OP_JWKS_ENDPOINT"
        "OIDC_OP_AUTHORIZATION_ENDPOINT"
        "OIDC_OP_TOKEN_ENDPOINT"
        "OIDC_OP_USER_ENDPOINT"
        "OIDC_OP_LOGOUT_ENDPOINT"
      ];
      mailu = [
        "services.coop-cloud.mailu.env.MAIL_DOMAIN"
        "services.coop-cloud.mailu.env.HOSTNAMES"
      ];
    };
  };
  "the line that mends it is shown" = {
    expr = lacking "cryptpad";
    expected = [
      "services.coop-cloud.cryptpad.env.SANDBOX_DOMAIN is not set: CryptPad runs what documents bring along under a second name, so that it cannot reach the first; add `services.coop-cloud.cryptpad.env.SANDBOX_DOMAIN = \"sandbox-pad.example.org\";`"
    ];
  };
  "La Suite's three settings of OIDC that are the same everywhere are there" = {
    expr = {
      inherit ((settingsOf "lasuite-meet").env) OIDC_RP_SIGN_ALGO OIDC_RP_SCOPES OIDC_REDIRECT_ALLOWED_HOSTS;
    };
    expected = {
      OIDC_RP_SIGN_ALGO = "RS256";
      OIDC_RP_SCOPES = "openid email";
      OIDC_REDIRECT_ALLOWED_HOSTS = "[\"https://lasuite-meet.example.org\"]";
    };
  };
  "CryptPad's second name is another one" = {
    expr = broken (with_ "cryptpad" (bare "cryptpad" // { env.SANDBOX_DOMAIN = "cryptpad.example.org"; }));
    expected = [
      "services.coop-cloud.cryptpad.env.SANDBOX_DOMAIN is the app's own domain, `cryptpad.example.org`: CryptPad needs a second one; set `services.coop-cloud.cryptpad.env.SANDBOX_DOMAIN = \"sandbox-cryptpad.example.org\";`"
    ];
  };
  "second names stay below one label, so that a wildcard certificate covers them" = {
    expr = [
      { inherit ((settingsOf "lasuite-drive").env) MINIO_DOMAIN COLLABORA_DOMAIN; }
      (settingsOf "lasuite-meet").env.LIVEKIT_DOMAIN
      (map (p: p.http.url)
        (with_ "lasuite-drive" (
          bare "lasuite-drive"
          // {
            env.COLLABORA_DOMAIN = "office.example.org";
          }
        )).services.coop-cloud.lasuite-drive.settings.probes
      )
    ];
    expected = [
      {
        MINIO_DOMAIN = "minio-lasuite-drive.example.org";
        COLLABORA_DOMAIN = "collabora-lasuite-drive.example.org";
      }
      "livekit-lasuite-meet.example.org"
      [ "https://office.example.org/hosting/discovery" ]
    ];
  };
  "what a probe looks at can be taken away, and the probe with it" = {
    expr = map
      (
        domain:
        (with_ "lasuite-drive" (bare "lasuite-drive" // { env.COLLABORA_DOMAIN = domain; }))
        .services.coop-cloud.lasuite-drive.settings.probes
      )
      [
        null
        ""
      ];
    expected = [
      [ ]
      [ ]
    ];
  };
  "Mailu knows the proxy's stack, or asks for it; its ports are opened" = {
    expr = [
      (settingsOf "mailu").env.TRAEFIK_STACK_NAME
      (broken (host {
        modules = [
          {
            services.coop-cloud.mailu = bare "mailu" // needs.mailu;
            services.coop-cloud-base.proxy.enable = false;
          }
        ];
      }))
      (builtins.sort builtins.lessThan (full "mailu").networking.firewall.allowedTCPPorts)
      (with_ "mailu" (bare "mailu" // needs.mailu // { openFirewall = false; })).networking.firewall.allowedTCPPorts
    ];
    expected = [
      "traefik_web1_example_org"
      [
        "services.coop-cloud.mailu.env.TRAEFIK_STACK_NAME is not set: the recipe uses the volume `<stack>_letsencrypt` of the proxy, and no proxy is run from here; add `services.coop-cloud.mailu.env.TRAEFIK_STACK_NAME = \"traefik_example_org\";`"
      ]
      [
        25
        80
        110
        143
        443
        465
        587
        993
        995
      ]
      [
        80
        443
      ]
    ];
  };
  "Mailu knows the proxy's stack also where the proxy has another name, and asks where none is run" = {
    expr =
      let
        mailu =
          traefik:
          host {
            modules = [
              { services.coop-cloud.mailu = bare "mailu" // needs.mailu; }
              { services.coop-cloud = { inherit traefik; }; }
            ];
          };
        told = traefik: (mailu traefik).services.coop-cloud.mailu.settings.env.TRAEFIK_STACK_NAME or null;
      in
      [
        (told { domain = "proxy.example.org"; })
        (told {
          domain = "proxy.example.org";
          env.STACK_NAME = "front";
        })
        (told { enable = false; })
        (map (m: builtins.head (lib.splitString " " m)) (broken (mailu {
          enable = false;
        })))
      ];
    expected = [
      "proxy_example_org"
      "front"
      null
      [ "services.coop-cloud.mailu.env.TRAEFIK_STACK_NAME" ]
    ];
  };
  "Mumble is on the host's own ports, in TCP and UDP; further compose files come on top" = {
    expr = {
      inherit ((settingsOf "mumble").env) COMPOSE_FILE;
      more = (with_ "mumble" (bare "mumble" // { composeFiles = [ "compose.mumbleweb.yml" ]; })).services.coop-cloud.mumble.settings.env.COMPOSE_FILE;
      udp = (full "mumble").networking.firewall.allowedUDPPorts;
      gate = (settingsOf "mumble").gate ? http;
    };
    expected = {
      COMPOSE_FILE = "compose.yml:compose.host-ports.yml";
      more = "compose.yml:compose.host-ports.yml:compose.mumbleweb.yml";
      udp = [ 64738 ];
      gate = false;
    };
  };
  "Drone's runner has the server's RPC secret, by a file and not by the store" = {
    expr =
      let
        config = with_ "drone" (bare "drone" // needs.drone // { runner.capacity = 4; });
        u = config.systemd.services.drone-runner-exec;
      in
      {
        inherit (u.serviceConfig) ExecStart LoadCredential Restart;
        inherit (u.environment)
          DRONE_RPC_HOST
          DRONE_RPC_PROTO
          DRONE_RUNNER_CAPACITY
          ;
        hasSecret = u.environment ? DRONE_RPC_SECRET;
        server = builtins.filter (s: s.name == "rpc_secret") config.services.coop-cloud.drone.settings.secrets;
        env = { inherit (config.services.coop-cloud.drone.settings.env) COMPOSE_FILE GITEA_CLIENT_ID GITEA_DOMAIN LETS_ENCRYPT_ENV; };
        restarted = config.sops.secrets.drone_rpc_secret.restartUnits;
        broken = broken config;
      };
    expected = {
      ExecStart = "/store/drone-runner-exec/bin/drone-runner-exec";
      LoadCredential = [ "rpc_secret:/run/secrets/drone_rpc_secret" ];
      Restart = "always";
      DRONE_RPC_HOST = "drone.example.org";
      DRONE_RPC_PROTO = "https";
      DRONE_RUNNER_CAPACITY = "4";
      hasSecret = false;
      server = [
        {
          name = "rpc_secret";
          file = "/run/secrets/drone_rpc_secret";
          rotation = "version";
        }
      ];
      env = {
        COMPOSE_FILE = "compose.yml:compose.gitea.yml";
        GITEA_CLIENT_ID = "id";
        GITEA_DOMAIN = "git.example.org";
        LETS_ENCRYPT_ENV = "";
      };
      restarted = [
        "cc-app-drone.service"
        "drone-runner-exec.service"
      ];
      broken = [ ];
    };
  };
  "under another name an app has its own runner, and its own words" = {
    expr =
      let
        ci = more: host {
          modules = [
            (ccApps.drone { appName = "ci"; })
            {
              services.coop-cloud.ci =
                bare "ci"
                // needs.drone
                // {
                  secrets = {
                    rpc_secret.sopsPath = "ci_rpc_secret";
                    client_secret.file = "/var/keys/ci";
                  };
                }
                // more;
            }
          ];
        };
        config = ci { };
        both = host {
          modules = [
            (ccApps.drone { appName = "ci"; })
            {
              services.coop-cloud = {
                ci = bare "ci" // needs.drone;
                drone = bare "drone" // needs.drone;
              };
            }
          ];
        };
        runners = c: builtins.filter (lib.hasPrefix "drone-runner") (names c.systemd.services);
      in
      {
        runners = runners config;
        both = runners both;
        inherit (config.systemd.services.drone-runner-exec-ci.environment) DRONE_RPC_HOST;
        inherit (config.systemd.services.drone-runner-exec-ci.serviceConfig) LoadCredential;
        wants = builtins.elem "cc-app-ci.service" config.systemd.services.drone-runner-exec-ci.wants;
        restarted = config.sops.secrets.ci_rpc_secret.restartUnits;
        # A unit that is not there cannot be restarted.
        withoutRunner = (ci { runner.enable = false; }).sops.secrets.ci_rpc_secret.restartUnits;
        broken = broken config;
        lacking = broken (host {
          modules = [
            (ccApps.cryptpad { appName = "pad"; })
            { services.coop-cloud.pad = bare "pad" // { env.SANDBOX_DOMAIN = "pad.example.org"; }; }
          ];
        });
      };
    expected = {
      runners = [ "drone-runner-exec-ci" ];
      both = [
        "drone-runner-exec"
        "drone-runner-exec-ci"
      ];
      DRONE_RPC_HOST = "ci.example.org";
      LoadCredential = [ "rpc_secret:/run/secrets/ci_rpc_secret" ];
      wants = true;
      restarted = [
        "cc-app-ci.service"
        "drone-runner-exec-ci.service"
      ];
      withoutRunner = [ "cc-app-ci.service" ];
      broken = [ ];
      lacking = [
        "services.coop-cloud.pad.env.SANDBOX_DOMAIN is the app's own domain, `pad.example.org`: CryptPad needs a second one; set `services.coop-cloud.pad.env.SANDBOX_DOMAIN = \"sandbox-pad.example.org\";`"
      ];
    };
  };
  "two jobs at a time are Drone's default, and the runner can be left out" = {
    expr = [
      (full "drone").systemd.services.drone-runner-exec.environment.DRONE_RUNNER_CAPACITY
      ((with_ "drone" (bare "drone" // needs.drone // { runner.enable = false; })).systemd.services ? drone-runner-exec)
    ];
    expected = [
      "2"
      false
    ];
  };
  "each says where its health path, its codes and its times are from, or that they are unverified" = {
    expr = lib.concatMap (
      name:
      map (parameter: "${name}: ${parameter}") (
        builtins.filter (parameter: !(sourced name parameter)) (
          lib.optional ((settingsOf name).gate ? http) "healthPath"
          ++ [
            "healthTimeout"
            "timeout"
          ]
        )
      )
    ) (names ccApps);
    expected = [ ];
  };
  "each is a member of a deployment with the settings it has on NixOS" = {
    expr = builtins.filter (
      name:
      let
        onHost = settingsOf name;
        asMember = ccAppSettings name {
          inherit (bare name) domain version;
          env = needs.${name}.env or { };
        };
      in
      onHost.gate != asMember.gate || onHost.probes != asMember.probes || onHost.env != asMember.env
    ) (builtins.filter (n: n != "mailu") (names ccApps));
    expected = [ ];
  };
  "all apps on one host make one set of units" = {
    expr =
      let
        config = host {
          modules = [
            {
              services.coop-cloud = lib.genAttrs (names ccApps) (name: bare name // needs.${name} or { });
            }
          ];
        };
      in
      [
        (broken config)
        (builtins.length (builtins.filter (lib.hasPrefix "cc-app-") (names config.systemd.services)))
        (builtins.length (names (rendered config).files))
      ];
    expected = [
      [ ]
      20
      21
    ];
  };
}
