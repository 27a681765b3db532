# Co-op Cloud on NixOS: the units, their order, settings, secrets and assertions of the factory and of the base.
{ lib, freehold, ... }:
let
  inherit (import ./coop-cloud-host.nix { inherit lib; }) host rendered;
  inherit (freehold.lib)
    ccApps
    ccAppSettings
    mkCcApp
    mkCoopCloud
    ;
  on = settings: host { modules = [ settings ]; };
  apps = settings: on { services.coop-cloud = settings; };

  # As an operator writes it.
  ghost = {
    enable = true;
    domain = "blog.example.org";
    version = "1.3.0+6.42.0-alpine";
    autoUpdate = true;
  };
  blog = apps { inherit ghost; };
  with_ = more: apps { ghost = ghost // more; };
  settings = more: (with_ more).services.coop-cloud.ghost.settings;
  unit = config: config.systemd.services.cc-app-ghost;
  broken = config: map (a: a.message) (builtins.filter (a: !a.assertion) config.assertions);
  names = builtins.attrNames;
  # Lists of units have no order of their own.
  sorted = builtins.sort builtins.lessThan;
  allText = config: builtins.toJSON (rendered config);

  # An app of the operator's own.
  wiki = ./fixtures/coop-cloud/wiki.nix;
  withWiki =
    settings:
    host {
      modules = [
        (import wiki { inherit mkCcApp; })
        { services.coop-cloud.wiki = settings; }
      ];
    };
  wikiSettings = {
    enable = true;
    domain = "wiki.example.org";
    version = "2.0.0+1.0";
    secrets = {
      db_password.sopsPath = "wiki_db_password";
      licence.sopsPath = "wiki/licence";
    };
  };
in
{
  "without an app nothing is set" = {
    expr =
      let
        config = on { };
      in
      [
        config.systemd.services
        config.systemd.timers
        config.systemd.paths
        config.virtualisation.docker.enable
        config.system.activationScripts
        config.assertions
        config.environment.etc
        config.sops.secrets
        config.networking.firewall.allowedTCPPorts
      ];
    expected = [
      { }
      { }
      { }
      false
      { }
      [ ]
      { }
      { }
      [ ]
    ];
  };
  "four lines make the units of an app, of its updates, of the proxy and of the Swarm" = {
    expr = {
      services = names blog.systemd.services;
      timers = names blog.systemd.timers;
      paths = names blog.systemd.paths;
      broken = broken blog;
      inherit (blog) warnings;
    };
    expected = {
      services = [
        "cc-app-ghost"
        "cc-app-ghost-reconcile"
        "coop-cloud-prune"
        "deploy-proxy"
        "deploy-proxy-certificate"
        "swarm-init"
      ];
      timers = [
        "cc-app-ghost-reconcile"
        "coop-cloud-prune"
      ];
      paths = [ "deploy-proxy-certificate" ];
      broken = [ ];
      warnings = [ ];
    };
  };
  "the app's oneshot calls Freehold with the settings, and stays" = {
    expr = (unit blog).serviceConfig;
    expected = {
      Type = "oneshot";
      RemainAfterExit = true;
      ExecStart = ''"/freehold/bin/freehold" "app" "deploy" "blog.example.org" "--settings" "/store/cc-app-ghost.json"'';
      SuccessExitStatus = 4;
      StateDirectory = "coop-cloud";
      TimeoutStartSec = 4 * (1200 + 120) + 7200;
    };
  };
  "it comes after Docker, the Swarm and the proxy, at boot" = {
    expr = {
      after = sorted (unit blog).after;
      requires = sorted (unit blog).requires;
      wants = sorted (unit blog).wants;
      inherit (unit blog) wantedBy restartIfChanged stopIfChanged;
    };
    expected = {
      after = [
        "deploy-proxy.service"
        "docker.service"
        "network-online.target"
        "sops-install-secrets.service"
        "swarm-init.service"
      ];
      requires = [
        "docker.service"
        "swarm-init.service"
      ];
      wants = [
        "deploy-proxy.service"
        "network-online.target"
      ];
      wantedBy = [ "multi-user.target" ];
      # By way of `swarm-init`, which each activation restarts.
      restartIfChanged = false;
      stopIfChanged = false;
    };
  };
  "an app can come after another" = {
    expr =
      let
        u = unit (with_ { after = [ "cc-app-keycloak.service" ]; });
      in
      map (builtins.elem "cc-app-keycloak.service") [
        u.after
        u.wants
        u.requires
      ];
    expected = [
      true
      true
      false
    ];
  };
  "units have abra's folder, the alerts and the programs that Freehold calls" = {
    expr = {
      inherit (unit (on {
        services.coop-cloud = { inherit ghost; };
        services.coop-cloud-base.recipeBase = "file:///srv/recipes";
      })) environment;
      path = map toString (unit blog).path;
    };
    expected = {
      environment = {
        HOME = "/root";
        ABRA_DIR = "/root/.abra";
        FREEHOLD_ALERTS = "/var/lib/coop-cloud/alerts";
        FREEHOLD_RECIPE_BASE = "file:///srv/recipes";
      };
      path = [
        "/docker"
        "/pkgs/git"
        "/pkgs/openssh"
      ];
    };
  };
  "updates are looked for by a timer, after the app's own unit, and are not broken off by an activation" = {
    expr =
      let
        u = blog.systemd.services.cc-app-ghost-reconcile;
      in
      {
        inherit (u.serviceConfig) Type ExecStart SuccessExitStatus;
        stays = u.serviceConfig ? RemainAfterExit;
        inherit (u)
          wantedBy
          requires
          restartIfChanged
          stopIfChanged
          ;
        after = builtins.elem "cc-app-ghost.service" u.after;
        timer = blog.systemd.timers.cc-app-ghost-reconcile.timerConfig;
        started = blog.systemd.timers.cc-app-ghost-reconcile.wantedBy;
      };
    expected = {
      Type = "oneshot";
      ExecStart = ''"/freehold/bin/freehold" "app" "reconcile" "blog.example.org" "--settings" "/store/cc-app-ghost.json"'';
      SuccessExitStatus = 4;
      stays = false;
      wantedBy = [ ];
      # Not of `swarm-init`, whose restart would be carried on to it.
      requires = [ "docker.service" ];
      restartIfChanged = false;
      stopIfChanged = false;
      after = true;
      timer = {
        OnCalendar = "03:00:00";
        Persistent = true;
      };
      started = [ "timers.target" ];
    };
  };
  "a pinned app has no timer, and the schedule is the operator's" = {
    expr = [
      (names (with_ { autoUpdate = false; }).systemd.timers)
      (with_ { updateSchedule = "Sat 04:30:00"; }).systemd.timers.cc-app-ghost-reconcile.timerConfig.OnCalendar
    ];
    expected = [
      [ "coop-cloud-prune" ]
      "Sat 04:30:00"
    ];
  };
  "the settings say all, and are a file in the store and in /etc" = {
    expr = {
      inherit (settings {
        env = {
          MAIL_TRANSPORT = "SMTP";
          MAIL_PORT = 587;
          MAIL_SECURE = true;
        };
        secrets.db_password.file = "/var/keys/db";
      })
        recipe
        name
        domain
        version
        policy
        env
        gate
        probes
        stateful
        timeoutSeconds
        secrets
        generateSecrets
        format
        after
        ;
      file = builtins.fromJSON blog.environment.etc."coop-cloud/ghost.json".source.text == settings { };
    };
    expected = {
      format = "freehold.app-settings/1";
      recipe = "ghost";
      name = "ghost";
      domain = "blog.example.org";
      version = "1.3.0+6.42.0-alpine";
      policy = {
        mode = "auto";
        upTo = "minor";
      };
      env = {
        LETS_ENCRYPT_ENV = "";
        TIMEOUT = "1200";
        MAIL_TRANSPORT = "SMTP";
        MAIL_PORT = "587";
        MAIL_SECURE = "true";
      };
      gate = {
        http = {
          url = "https://blog.example.org/ghost/api/admin/site/";
          expect = [ 200 ];
        };
        timeoutSeconds = 120;
      };
      probes = [ ];
      stateful = true;
      timeoutSeconds = 1200;
      secrets = [
        {
          name = "db_password";
          file = "/var/keys/db";
          rotation = "version";
        }
      ];
      generateSecrets = true;
      after = [ ];
      file = true;
    };
  };
  "every parameter can be set" = {
    expr = {
      inherit (settings {
        autoUpdate = false;
        upTo = "patch";
        healthPath = "/";
        healthOk = [
          200
          302
        ];
        healthTimeout = 60;
        healthBody = "Ghost";
        healthOrigin = "http://127.0.0.1:8080";
        healthTcp.port = 443;
        probes = [ { tcp.port = 80; } ];
        stateful = false;
        timeout = 900;
        generateSecrets = false;
        composeFiles = [ "compose.mail.yml" ];
        env.LETS_ENCRYPT_ENV = null;
      })
        policy
        gate
        probes
        stateful
        timeoutSeconds
        generateSecrets
        env
        ;
    };
    expected = {
      policy = {
        mode = "pinned";
        upTo = "patch";
      };
      gate = {
        http = {
          url = "http://127.0.0.1:8080/";
          expect = [
            200
            302
          ];
          bodyMatches = "Ghost";
        };
        tcp = {
          port = 443;
          connects = 3;
        };
        timeoutSeconds = 60;
      };
      probes = [ { tcp.port = 80; } ];
      stateful = false;
      timeoutSeconds = 900;
      generateSecrets = false;
      env = {
        COMPOSE_FILE = "compose.yml:compose.mail.yml";
        TIMEOUT = "900";
      };
    };
  };
  "the recipe's words are looked for on the recipe's page, one's own wherever one says" = {
    expr =
      let
        hedgedoc = {
          enable = true;
          domain = "pad.example.org";
          version = "1.0.0+1.10";
        };
        asked = s: { inherit (s.gate.http) url; } // { words = s.gate.http.bodyMatches or null; };
        here = more: asked (apps { hedgedoc = hedgedoc // more; }).services.coop-cloud.hedgedoc.settings;
        member = more: asked (ccAppSettings "hedgedoc" (removeAttrs hedgedoc [ "enable" ] // more));
        changed =
          changes: more:
          asked
            (host {
              modules = [
                (ccApps.hedgedoc ({ appName = "pad"; } // changes))
                { services.coop-cloud.pad = hedgedoc // more; }
              ];
            }).services.coop-cloud.pad.settings;
        root.healthPath = "/";
        own = root // {
          healthBody = "Notes";
        };
        recipes.healthPath = "/_health";
      in
      {
        plain = here { };
        same = here recipes == here { };
        other = here root;
        own = here own;
        none = here { healthBody = null; };
        members =
          map member [
            { }
            recipes
            root
            own
          ] == map here [
            { }
            recipes
            root
            own
          ];
        another = changed { } { } == here { } && changed recipes { } == here { };
        changed = changed root { };
        both = changed own { } == here own && changed root { healthBody = "Notes"; } == here own;
      };
    expected = {
      plain = {
        url = "https://pad.example.org/_health";
        words = "\"ready\" *: *true";
      };
      same = true;
      other = {
        url = "https://pad.example.org/";
        words = null;
      };
      own = {
        url = "https://pad.example.org/";
        words = "Notes";
      };
      none = {
        url = "https://pad.example.org/_health";
        words = null;
      };
      members = true;
      another = true;
      changed = {
        url = "https://pad.example.org/";
        words = null;
      };
      both = true;
    };
  };
  "where a page is asked for may end with a slash, and says that there is a page" = {
    expr = [
      (settings { healthOrigin = "http://127.0.0.1:8080/"; }).gate.http.url
      (settings { healthOrigin = "http://127.0.0.1:8080/blog//"; }).gate.http.url
      (ccAppSettings "ghost" {
        inherit (ghost) domain version;
        healthOrigin = "http://127.0.0.1:8080/";
      }).gate.http.url
      (ccAppSettings "mumble" {
        domain = "talk.example.org";
        healthOrigin = "http://127.0.0.1:8080";
      }).gate.http.url
      (apps {
        mumble = ghost // {
          healthOrigin = "http://127.0.0.1:8080";
        };
      }).services.coop-cloud.mumble.settings.gate.http.url
      (
        (apps {
          mumble = ghost // {
            healthOrigin = "http://127.0.0.1:8080";
            healthPath = null;
          };
        }).services.coop-cloud.mumble.settings.gate ? http
      )
    ];
    expected = [
      "http://127.0.0.1:8080/ghost/api/admin/site/"
      "http://127.0.0.1:8080/blog/ghost/api/admin/site/"
      "http://127.0.0.1:8080/ghost/api/admin/site/"
      "http://127.0.0.1:8080/"
      "http://127.0.0.1:8080/"
      false
    ];
  };
  "without a health path the gate is Swarm's own settling" = {
    expr = (settings { healthPath = null; }).gate;
    expected.timeoutSeconds = 120;
  };

  "each activation asks for the units again, a dry one says so, and a boot asks for nothing" = {
    expr = {
      inherit (blog.system.activationScripts.coop-cloud) supportsDryActivation text;
    };
    expected = {
      supportsDryActivation = true;
      text = ''
        case "''${NIXOS_ACTION:-}" in
          switch|test) coopCloudList=/run/nixos/activation-restart-list ;;
          dry-activate) coopCloudList=/run/nixos/dry-activation-restart-list ;;
          *) coopCloudList= ;;
        esac
        if [ -n "$coopCloudList" ]; then
          mkdir -p /run/nixos
          printf '%s\n' swarm-init.service cc-app-ghost.service deploy-proxy.service >> "$coopCloudList"
        fi
      '';
    };
  };
  "the base: Docker that can be in a Swarm, ports, and a oneshot that looks each time" = {
    expr = {
      inherit (blog.virtualisation.docker) enable liveRestore;
      tcp = blog.networking.firewall.allowedTCPPorts;
      udp = blog.networking.firewall.allowedUDPPorts;
      init = blog.systemd.services.swarm-init.serviceConfig;
      inherit (blog.systemd.services.swarm-init) requires wantedBy restartIfChanged;
      programs = map toString blog.environment.systemPackages;
    };
    expected = {
      enable = true;
      liveRestore = false;
      tcp = [
        80
        443
      ];
      udp = [ ];
      init = {
        Type = "oneshot";
        RemainAfterExit = true;
        ExecStart = ''"/freehold/bin/freehold" "app" "swarm" "init"'';
        StateDirectory = "coop-cloud";
        TimeoutStartSec = 300;
      };
      requires = [ "docker.service" ];
      wantedBy = [ "multi-user.target" ];
      restartIfChanged = true;
      programs = [ "/freehold" ];
    };
  };
  "more nodes: an address to be reached by, and ports" = {
    expr =
      let
        config = on {
          services.coop-cloud-base = {
            enable = true;
            advertiseAddress = "192.0.2.7";
            openSwarmPorts = true;
          };
        };
      in
      [
        config.systemd.services.swarm-init.serviceConfig.ExecStart
        (sorted config.networking.firewall.allowedTCPPorts)
        (sorted config.networking.firewall.allowedUDPPorts)
      ];
    expected = [
      ''"/freehold/bin/freehold" "app" "swarm" "init" "--advertise-addr" "192.0.2.7"''
      [
        80
        443
        2377
        7946
      ]
      [
        4789
        7946
      ]
    ];
  };
  "the proxy is Traefik in wildcard mode, with the certificate from its folder, taken by content" = {
    expr = {
      inherit (blog.services.coop-cloud.traefik.settings)
        recipe
        domain
        env
        secrets
        stateful
        version
        ;
      after = sorted blog.systemd.services.deploy-proxy.after;
    };
    expected = {
      recipe = "traefik";
      domain = "traefik.web1.example.org";
      env = {
        COMPOSE_FILE = "compose.yml:compose.wildcard.yml";
        LETS_ENCRYPT_ENV = "";
        TIMEOUT = "300";
        WILDCARDS_ENABLED = "1";
      };
      secrets = [
        {
          name = "ssl_cert";
          file = "/var/lib/ci-certs/live/fullchain.pem";
          rotation = "content";
          versionVariable = "SECRET_WILDCARD_CERT_VERSION";
        }
        {
          name = "ssl_key";
          file = "/var/lib/ci-certs/live/privkey.pem";
          rotation = "content";
          versionVariable = "SECRET_WILDCARD_KEY_VERSION";
        }
      ];
      stateful = false;
      version = null;
      after = [
        "docker.service"
        "network-online.target"
        "sops-install-secrets.service"
        "swarm-init.service"
      ];
    };
  };
  "the certificate can lie elsewhere, and is watched there" = {
    expr =
      let
        config = on {
          services.coop-cloud-base = {
            enable = true;
            proxy = {
              domain = "traefik.example.org";
              certificateDirectory = "/var/lib/acme/example.org";
              key = "key.pem";
            };
          };
        };
      in
      [
        config.systemd.paths.deploy-proxy-certificate.pathConfig
        (map (s: s.file) config.services.coop-cloud.traefik.settings.secrets)
        config.systemd.services.deploy-proxy-certificate.serviceConfig.ExecStart
        (config.systemd.services.deploy-proxy-certificate.serviceConfig ? RemainAfterExit)
      ];
    expected = [
      {
        PathChanged = [
          "/var/lib/acme/example.org/fullchain.pem"
          "/var/lib/acme/example.org/key.pem"
        ];
        Unit = "deploy-proxy-certificate.service";
      }
      [
        "/var/lib/acme/example.org/fullchain.pem"
        "/var/lib/acme/example.org/key.pem"
      ]
      ''"/freehold/bin/freehold" "app" "deploy" "traefik.example.org" "--settings" "/store/deploy-proxy.json"''
      false
    ];
  };
  "the certificate can be a secret of sops, whole or in part; what is a file is watched" = {
    expr =
      let
        proxy = secrets: on {
          services.coop-cloud-base.enable = true;
          services.coop-cloud.traefik = { inherit secrets; };
        };
        told = secrets: {
          files = map (s: s.file) (proxy secrets).services.coop-cloud.traefik.settings.secrets;
          watched = lib.mapAttrsToList (_: p: p.pathConfig.PathChanged) (proxy secrets).systemd.paths;
          restarted = lib.mapAttrs (_: s: s.restartUnits) (proxy secrets).sops.secrets;
          broken = broken (proxy secrets);
        };
        sops = {
          ssl_cert.sopsPath = "cert";
          ssl_key.sopsPath = "key";
        };
      in
      {
        whole = told sops;
        units = names (proxy sops).systemd.services;
        part = told { inherit (sops) ssl_key; };
        file = told { ssl_key.file = "/var/keys/proxy.pem"; };
      };
    expected = {
      whole = {
        files = [
          "/run/secrets/cert"
          "/run/secrets/key"
        ];
        watched = [ ];
        restarted = {
          cert = [ "deploy-proxy.service" ];
          key = [ "deploy-proxy.service" ];
        };
        broken = [ ];
      };
      units = [
        "coop-cloud-prune"
        "deploy-proxy"
        "swarm-init"
      ];
      part = {
        files = [
          "/var/lib/ci-certs/live/fullchain.pem"
          "/run/secrets/key"
        ];
        watched = [ [ "/var/lib/ci-certs/live/fullchain.pem" ] ];
        restarted.key = [ "deploy-proxy.service" ];
        broken = [ ];
      };
      file = {
        files = [
          "/var/lib/ci-certs/live/fullchain.pem"
          "/var/keys/proxy.pem"
        ];
        watched = [
          [
            "/var/lib/ci-certs/live/fullchain.pem"
            "/var/keys/proxy.pem"
          ]
        ];
        restarted = { };
        broken = [ ];
      };
    };
  };
  "without the proxy, or with Traefik turned off, nothing waits for it" = {
    expr =
      let
        without =
          more:
          let
            config = host {
              modules = [
                { services.coop-cloud = { inherit ghost; }; }
                more
              ];
            };
          in
          [
            (names config.systemd.services)
            (names config.systemd.paths)
            (builtins.elem "deploy-proxy.service" ((unit config).after ++ (unit config).wants))
            (lib.hasInfix "deploy-proxy" (allText config))
            (broken config)
          ];
      in
      [
        (without { services.coop-cloud-base.proxy.enable = false; })
        (without { services.coop-cloud.traefik.enable = false; } == without { services.coop-cloud-base.proxy.enable = false; })
      ];
    expected = [
      [
        [
          "cc-app-ghost"
          "cc-app-ghost-reconcile"
          "coop-cloud-prune"
          "swarm-init"
        ]
        [ ]
        false
        false
        [ ]
      ]
      true
    ];
  };
  "images are pruned on a timer, which can be turned off" = {
    expr = [
      blog.systemd.services.coop-cloud-prune.serviceConfig.ExecStart
      blog.systemd.timers.coop-cloud-prune.timerConfig.OnCalendar
      (names
        (on {
          services.coop-cloud-base = {
            enable = true;
            prune.enable = false;
          };
        }).systemd.timers
      )
    ];
    expected = [
      ''"/freehold/bin/freehold" "app" "prune"''
      "Sun 05:00:00"
      [ ]
    ];
  };
  "one sweep over all enabled apps, instead of a timer for each" = {
    expr =
      let
        config = on {
          services.coop-cloud.ghost = ghost // {
            autoUpdate = true;
          };
          services.coop-cloud.hedgedoc = ghost // {
            enable = false;
            domain = "pad.example.org";
          };
          services.coop-cloud-base.sweep.enable = true;
        };
        # Words are quoted by some `lib`s and not by others.
        script = lib.replaceStrings [ "'" ] [ "" ] u.script;
        looks = builtins.filter (lib.hasPrefix "look ") (lib.splitString "\n" script);
        u = config.systemd.services.coop-cloud-sweep;
      in
      [
        looks
        (lib.hasInfix "/freehold/bin/freehold app reconcile " script)
        (sorted u.after)
        config.systemd.timers.coop-cloud-sweep.timerConfig.OnCalendar
        (names config.systemd.timers)
        (config.systemd.services ? cc-app-ghost-reconcile)
      ];
    expected = [
      [
        "look blog.example.org /store/cc-app-ghost.json"
        "look traefik.web1.example.org /store/deploy-proxy.json"
      ]
      true
      [
        "cc-app-ghost.service"
        "deploy-proxy.service"
        "docker.service"
        "swarm-init.service"
      ]
      "03:00:00"
      [
        "coop-cloud-prune"
        "coop-cloud-sweep"
      ]
      # By hand it goes on: `systemctl start cc-app-ghost-reconcile`.
      true
    ];
  };

  "a secret of sops: its entry, its file, and the unit that is restarted for it" = {
    expr =
      let
        config = with_ { secrets.db_password.sopsPath = "ghost_db_password"; };
      in
      {
        entry = { inherit (config.sops.secrets.ghost_db_password) key path restartUnits; };
        told = config.services.coop-cloud.ghost.settings.secrets;
        broken = broken config;
      };
    expected = {
      entry = {
        key = "ghost_db_password";
        path = "/run/secrets/ghost_db_password";
        restartUnits = [ "cc-app-ghost.service" ];
      };
      told = [
        {
          name = "db_password";
          file = "/run/secrets/ghost_db_password";
          rotation = "version";
        }
      ];
      broken = [ ];
    };
  };
  "the file that sops-nix decrypts to is asked of sops-nix" = {
    expr =
      let
        config = on {
          services.coop-cloud.ghost = ghost // {
            secrets.db_password = {
              sopsPath = "ghost/db";
              sopsFile = "/etc/ghost.yaml";
              version = "v2";
            };
          };
          sops.secrets."ghost/db".path = "/run/keys/ghost";
        };
      in
      [
        config.services.coop-cloud.ghost.settings.secrets
        (toString config.sops.secrets."ghost/db".sopsFile)
      ];
    expected = [
      [
        {
          name = "db_password";
          file = "/run/keys/ghost";
          rotation = "version";
          version = "v2";
        }
      ]
      "/etc/ghost.yaml"
    ];
  };
  "the app's file says which secret is a path in the `.env`" = {
    expr =
      let
        config = withWiki wikiSettings;
      in
      {
        inherit (config.services.coop-cloud.wiki.settings) env secrets;
        sops = names config.sops.secrets;
        broken = broken config;
      };
    expected = {
      env = {
        LETS_ENCRYPT_ENV = "";
        TIMEOUT = "600";
        LICENCE_FILE = "/run/secrets/wiki/licence";
      };
      secrets = [
        {
          name = "db_password";
          file = "/run/secrets/wiki_db_password";
          rotation = "version";
        }
      ];
      sops = [
        "wiki/licence"
        "wiki_db_password"
      ];
      broken = [ ];
    };
  };
  "no value of a secret is in any text: there is no option that takes one" = {
    expr =
      let
        config = with_ {
          secrets.db_password.sopsPath = "ghost_db_password";
          secrets.smtp_password.file = "/var/keys/canary-file";
          env.MAIL_PASSWORD = "canary-value";
        };
        secretOptions = names (builtins.head (builtins.attrValues config.services.coop-cloud.ghost.secrets));
      in
      {
        inherit secretOptions;
        inherit (config) warnings;
        paths = map (s: s.file) config.services.coop-cloud.ghost.settings.secrets;
        none = lib.hasInfix "canary-value" (
          allText (with_ { secrets.smtp_password.file = "/var/keys/canary-file"; })
        );
      };
    expected = {
      secretOptions = [
        "as"
        "file"
        "rotation"
        "sopsFile"
        "sopsPath"
        "variable"
        "version"
        "versionVariable"
      ];
      warnings = [
        "services.coop-cloud.ghost.env.MAIL_PASSWORD looks like a secret, and the Nix store can be read by everybody on the machine: use `services.coop-cloud.ghost.secrets`"
      ];
      paths = [
        "/run/secrets/ghost_db_password"
        "/var/keys/canary-file"
      ];
      none = false;
    };
  };
  "what says where a secret is, or which version it has, is no secret" = {
    expr =
      (with_ {
        env = {
          SECRET_DB_PASSWORD_VERSION = "v2";
          SMTP_PASSWORD = "/run/secrets/smtp";
          SMTP_TOKEN = "";
        };
      }).warnings;
    expected = [ ];
  };

  "what is missing is named, with the line that mends it" = {
    expr = broken (apps {
      ghost.enable = true;
    });
    expected = [
      "services.coop-cloud.ghost.domain is not set: the app needs the name it is reached by; add `services.coop-cloud.ghost.domain = \"ghost.example.org\";`"
      "services.coop-cloud.ghost.version is not set: say which version of the recipe `ghost` runs (`freehold app versions ghost` lists them), such as `services.coop-cloud.ghost.version = \"1.3.0+6.42.0\";`, or let it follow the newest with `services.coop-cloud.ghost.autoUpdate = true;`"
    ];
  };
  "what is wrong with a secret is named" = {
    expr = broken (with_ {
      secrets = {
        a = { };
        b = {
          sopsPath = "b";
          file = "/b";
        };
        c = {
          file = "/c";
          as = "path";
        };
        d.file = "${builtins.storeDir}/d";
      };
      healthOk = [ ];
    });
    expected = [
      "services.coop-cloud.ghost.healthOk is empty: no answer would count as healthy; add `services.coop-cloud.ghost.healthOk = [ 200 ];`, or `services.coop-cloud.ghost.healthPath = null;` to ask for none"
      "services.coop-cloud.ghost.secrets.a says nowhere where its value is; add `services.coop-cloud.ghost.secrets.a.sopsPath = \"ghost_a\";`"
      "services.coop-cloud.ghost.secrets.b has both `sopsPath` and `file`; keep one of them"
      "services.coop-cloud.ghost.secrets.c goes into the `.env` as a path, and no variable is named; add `services.coop-cloud.ghost.secrets.c.variable = \"C_FILE\";`"
      "services.coop-cloud.ghost.secrets.d.file is in the Nix store, which everybody on the machine can read; keep it outside, or use `services.coop-cloud.ghost.secrets.d.sopsPath`"
    ];
  };
  "without sops-nix a sopsPath says what to import" = {
    expr = broken (host {
      withSops = false;
      modules = [
        {
          services.coop-cloud.ghost = ghost // {
            secrets.db_password.sopsPath = "x";
          };
        }
      ];
    });
    expected = [
      "services.coop-cloud.ghost.secrets.db_password.sopsPath needs sops-nix, which is not imported; add `imports = [ inputs.sops-nix.nixosModules.sops ];`, or name a file of your own with `services.coop-cloud.ghost.secrets.db_password.file`"
    ];
  };
  "without sops-nix secrets may lie in files" = {
    expr =
      let
        config = host {
          withSops = false;
          modules = [
            {
              services.coop-cloud.ghost = ghost // {
                secrets.db_password.file = "/var/keys/db";
              };
            }
          ];
        };
      in
      [
        (broken config)
        (names config.systemd.services == names blog.systemd.services)
      ];
    expected = [
      [ ]
      true
    ];
  };
  "two apps of one domain, or of one stack, are told apart, and a name for the stack is believed" = {
    expr =
      let
        long = "a-very-long-name-of-a-club-that-writes-a-blog.example.";
        named =
          a: stackA: b: stackB:
          broken (apps {
            ghost = ghost // {
              domain = a;
              env.STACK_NAME = stackA;
            };
            hedgedoc = ghost // {
              domain = b;
              version = "1.0.0+1.10";
              env.STACK_NAME = stackB;
            };
          });
        two = a: b: named a null b null;
      in
      two "x.example.org" "x.example.org"
      ++ two "X.example.org" "x.example.org"
      ++ two "${long}org" "${long}net"
      ++ named "a.example.org" "one" "b.example.org" "one"
      ++ named "a.example.org" "b_example_org" "b.example.org" null
      # These are none.
      ++ two "a.example.org" "b.example.org"
      ++ named "${long}org" "one" "${long}net" "two"
      ++ named "${long}org" "one" "${long}net" "";
    expected = [
      "services.coop-cloud.ghost and services.coop-cloud.hedgedoc have one domain, `x.example.org`: give one of them another, such as `services.coop-cloud.hedgedoc.domain = \"hedgedoc.x.example.org\";`"
      "services.coop-cloud.ghost and services.coop-cloud.hedgedoc have one domain, `X.example.org`: give one of them another, such as `services.coop-cloud.hedgedoc.domain = \"hedgedoc.X.example.org\";`"
      "services.coop-cloud.ghost and services.coop-cloud.hedgedoc would be one stack, `a-very-long-name-of-a-club-that-writes-a-blog`: the first 45 characters of their domains are the same; give one of them another, such as `services.coop-cloud.hedgedoc.env.STACK_NAME = \"hedgedoc\";`"
      "services.coop-cloud.ghost and services.coop-cloud.hedgedoc would be one stack, `one`: both have it as `STACK_NAME`; give one of them another, such as `services.coop-cloud.hedgedoc.env.STACK_NAME = \"hedgedoc\";`"
      "services.coop-cloud.ghost and services.coop-cloud.hedgedoc would be one stack, `b_example_org`: `services.coop-cloud.ghost.env.STACK_NAME` says so; give one of them another, such as `services.coop-cloud.ghost.env.STACK_NAME = \"ghost\";`"
    ];
  };
  "a version is a recipe's version or a commit" = {
    throws = settings { version = "latest"; };
  };
  "a setting that there is not is refused" = {
    throws = (with_ { environment.A = "b"; }).systemd.services;
  };

  "an app of one's own is a file like ours; what it needs is asserted" = {
    expr =
      let
        config = withWiki {
          enable = true;
          domain = "wiki.example.org";
          version = "2.0.0+1.0";
        };
      in
      [
        (builtins.elem "cc-app-wiki" (names config.systemd.services))
        config.services.coop-cloud.wiki.settings.recipe
        config.services.coop-cloud.wiki.settings.gate.http.url
        (broken config)
      ];
    expected = [
      true
      "mygit.example.org/club/wiki"
      "https://wiki.example.org/up"
      [
        "services.coop-cloud.wiki.secrets.licence is not set: the wiki does not start without it; add `services.coop-cloud.wiki.secrets.licence.sopsPath = \"wiki_licence\";`"
      ]
    ];
  };
  "extra apps are files or folders of files" = {
    expr =
      let
        with' =
          extraApps:
          names
            (host {
              modules = [
                (mkCoopCloud { inherit extraApps; })
                { services.coop-cloud.wiki = wikiSettings; }
              ];
            }).systemd.services;
      in
      [
        (with' [ wiki ])
        (with' [ ./fixtures/coop-cloud ] == with' [ wiki ])
      ];
    expected = [
      [
        "cc-app-wiki"
        "coop-cloud-prune"
        "deploy-proxy"
        "deploy-proxy-certificate"
        "swarm-init"
      ]
      true
    ];
  };
  "an app of ours can run twice, under another name" = {
    expr =
      let
        config = host {
          modules = [
            (ccApps.custom-html { appName = "club"; })
            {
              services.coop-cloud.club = {
                enable = true;
                domain = "club.example.org";
                version = "1.7.1+1.27.2";
              };
              services.coop-cloud.custom-html = {
                enable = true;
                domain = "www.example.org";
                version = "1.7.1+1.27.2";
              };
            }
          ];
        };
      in
      [
        (builtins.filter (lib.hasPrefix "cc-app-") (names config.systemd.services))
        config.services.coop-cloud.club.settings.recipe
        (broken config)
      ];
    expected = [
      [
        "cc-app-club"
        "cc-app-custom-html"
      ]
      "custom-html"
      [ ]
    ];
  };
  "the factory with everything said is a module that needs no further setting" = {
    expr =
      let
        config = host {
          modules = [
            (mkCcApp {
              recipe = "ghost";
              appName = "news";
              domain = "news.example.org";
              version = "1.3.0+6.42.0-alpine";
              env = {
                MAIL_TRANSPORT = "SMTP";
              };
              healthPath = "/ghost/api/admin/site";
              healthOk = [ 200 ];
              healthTimeout = 120;
              stateful = true;
              autoUpdate = true;
              updateSchedule = "03:00:00";
              after = [ ];
              timeout = 600;
              secrets = {
                db_password = {
                  sopsPath = "ghost_db_password";
                };
                smtp_password = {
                  sopsPath = "ghost_smtp_password";
                };
              };
            })
          ];
        };
      in
      {
        services = builtins.filter (lib.hasPrefix "cc-app-") (names config.systemd.services);
        timers = names config.systemd.timers;
        sops = names config.sops.secrets;
        inherit (config.services.coop-cloud.news.settings) env;
        broken = broken config;
      };
    expected = {
      services = [
        "cc-app-news"
        "cc-app-news-reconcile"
      ];
      timers = [
        "cc-app-news-reconcile"
        "coop-cloud-prune"
      ];
      sops = [
        "ghost_db_password"
        "ghost_smtp_password"
      ];
      env = {
        LETS_ENCRYPT_ENV = "";
        TIMEOUT = "600";
        MAIL_TRANSPORT = "SMTP";
      };
      broken = [ ];
    };
  };
  "a parameter that there is not is refused" = {
    throws = mkCcApp {
      recipe = "ghost";
      healthpath = "/";
    };
  };
  "an app without a recipe is refused" = {
    throws = mkCcApp { appName = "ghost"; };
  };
  "a name that no unit can have is refused" = {
    throws = mkCcApp {
      recipe = "ghost";
      appName = "My Blog";
    };
  };
  "a member of a deployment has the same settings as the app on NixOS" = {
    expr = ccAppSettings "ghost" {
      inherit (ghost) domain version autoUpdate;
      env.A = 1;
      secrets.db_password.file = "/var/keys/db";
    };
    expected = settings {
      env.A = 1;
      secrets.db_password.file = "/var/keys/db";
    };
  };
  "a member of a deployment has an app that there is, and a domain" = {
    throws = [
      (ccAppSettings "ghosts" { domain = "a.example.org"; })
      (ccAppSettings "ghost" { })
    ];
  };
  "the example is a host with three apps" = {
    expr =
      let
        config = host { modules = [ ../../examples/coop-cloud/apps.nix ]; };
        configuration = import ../../examples/coop-cloud/configuration.nix { pkgs.sops = "sops"; };
        ours = lib.last (lib.init configuration.imports);
      in
      {
        apps = builtins.filter (lib.hasPrefix "cc-app-") (names config.systemd.services);
        secrets = names config.sops.secrets;
        broken = broken config;
        inherit (config) warnings;
        module = ours == ../nixos/coop-cloud.nix;
        package = builtins.isFunction (builtins.head configuration.nixpkgs.overlays);
      };
    expected = {
      apps = [
        "cc-app-cryptpad"
        "cc-app-ghost"
        "cc-app-ghost-reconcile"
        "cc-app-mumble"
      ];
      secrets = [ "ghost_smtp_password" ];
      broken = [ ];
      warnings = [ ];
      module = true;
      package = true;
    };
  };
  "the reference is fresh (else: nix/tests/coop-cloud-docs.sh --update)" = {
    expr = import ../lib/cc-docs.nix { inherit lib; } == builtins.readFile ../../docs/reference/coop-cloud-options.md;
    expected = true;
  };
  "members of deployments know the same defaults (else: nix/tests/coop-cloud-docs.sh --update)" = {
    expr = import ../lib/cc-recipes.nix == builtins.fromJSON (builtins.readFile ../../providers/workload/src/app/recipes.json);
    expected = true;
  };
}
