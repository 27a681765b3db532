# Options of NixOS, Docker's module and sops-nix that our modules set or read: stand-ins with the real names and types, so that
# modules are evaluated without nixpkgs. Nothing here does anything.
#
#   lib.evalModules { modules = [ (import ./nixos-options.nix { inherit lib; }) ../nixos/coop-cloud.nix … ]; }
{
  lib,
  # Whether sops-nix is imported.
  sops ? true,
}:
let
  inherit (lib) mkOption types;
  option =
    type: default:
    mkOption {
      inherit type default;
    };
  list = type: option (types.listOf type) [ ];
  units = list types.str;
  # A setting of a unit: `types.oneOf [ bool int float str path package ]`, or several.
  setting = types.oneOf [
    types.bool
    types.int
    types.str
    (types.listOf (
      types.oneOf [
        types.bool
        types.int
        types.str
      ]
    ))
  ];
  settings = option (types.attrsOf setting) { };

  unitOptions = {
    description = option types.str "";
    after = units;
    before = units;
    requires = units;
    wants = units;
    bindsTo = units;
    partOf = units;
    conflicts = units;
    wantedBy = units;
    requiredBy = units;
    unitConfig = settings;
  };

  service = types.submodule {
    options = unitOptions // {
      enable = option types.bool true;
      environment = option (types.attrsOf (types.nullOr (types.oneOf [ types.str types.path types.package ]))) { };
      path = list (types.oneOf [ types.package types.str ]);
      script = option types.lines "";
      serviceConfig = settings;
      restartIfChanged = option types.bool true;
      reloadIfChanged = option types.bool false;
      stopIfChanged = option types.bool true;
      startAt = option (types.coercedTo types.str lib.singleton (types.listOf types.str)) [ ];
    };
  };

  secret = types.submodule (
    { name, ... }:
    {
      options = {
        name = option types.str name;
        key = option types.str name;
        path = option types.str "/run/secrets/${name}";
        format = option types.str "yaml";
        mode = option types.str "0400";
        owner = option types.str "root";
        sopsFile = option types.path "/etc/secrets.yaml";
        restartUnits = units;
        reloadUnits = units;
      };
    }
  );
in
{
  options = {
    assertions = list types.unspecified;
    warnings = list types.str;
    environment.systemPackages = list types.package;
    environment.variables = option (types.attrsOf (types.either types.str (types.listOf types.str))) { };
    environment.etc = option (types.attrsOf (types.submodule {
      options.source = mkOption { type = types.path; };
    })) { };
    networking = {
      hostName = option types.str "web1";
      fqdnOrHostName = option types.str "web1.example.org";
      firewall = {
        allowedTCPPorts = list types.port;
        allowedUDPPorts = list types.port;
      };
    };
    nix.package = option types.package {
      type = "derivation";
      name = "nix";
      outPath = "/nix-package";
    };
    system.activationScripts = option (types.attrsOf (
      types.either types.str (
        types.submodule {
          options = {
            deps = units;
            text = mkOption { type = types.lines; };
            supportsDryActivation = option types.bool false;
          };
        }
      )
    )) { };
    systemd = {
      services = option (types.attrsOf service) { };
      timers = option (types.attrsOf (types.submodule {
        options = unitOptions // {
          timerConfig = settings;
        };
      })) { };
      paths = option (types.attrsOf (types.submodule {
        options = unitOptions // {
          pathConfig = settings;
        };
      })) { };
    };
    virtualisation.docker = {
      enable = option types.bool false;
      # NixOS's own default; Swarm does not work with it.
      liveRestore = mkOption {
        type = types.bool;
        default = true;
      };
      package = option types.package {
        type = "derivation";
        name = "docker";
        outPath = "/docker";
      };
    };
  }
  // lib.optionalAttrs sops {
    sops = {
      secrets = option (types.attrsOf secret) { };
      age.sshKeyPaths = list types.path;
      defaultSopsFile = option types.path "/etc/secrets.yaml";
    };
  };
}
