# flake.nix evaluates as far as it can without nixpkgs: `lib` and `templates` with an input that must not be touched, the
# rest with a stand-in for nixpkgs.
{ lib, ... }:
let
  outputsOf =
    nixpkgs:
    let
      self = (import ../../flake.nix).outputs { inherit self nixpkgs; };
    in
    self;
  without = outputsOf (throw "nixpkgs was looked at");

  # Each builder gives back its arguments.
  stub = {
    lib = {
      fileset = {
        toSource = x: x.root;
        unions = x: x;
      };
      licenses = {
        mit = "MIT";
        asl20 = "Apache-2.0";
      };
    };
    rustPlatform.buildRustPackage = x: x;
    pkgsStatic = stub // {
      rustPlatform.buildRustPackage = x: x // { static = true; };
    };
    mkShell = x: x;
    writeText = name: text: { inherit name text; };
    nixfmt-rfc-style = "nixfmt";
  }
  // builtins.listToAttrs (
    map
      (name: {
        inherit name;
        value = name;
      })
      [
        "cargo"
        "cargo-deny"
        "clippy"
        "git"
        "just"
        "mdbook"
        "nix"
        "rust-analyzer"
        "rustc"
        "rustfmt"
        "shellcheck"
        "typos"
      ]
  );
  stubbed = outputsOf {
    legacyPackages.x86_64-linux = stub;
    lib = (import ../. { }).lib.lib;
  };
in
{
  "lib needs no nixpkgs" = {
    expr = (without.lib.mkRoot { modules = [ ]; })._type;
    expected = "nixops4Component";
  };
  "the NixOS modules are there, one for each app" = {
    expr = {
      files = map builtins.pathExists [
        without.nixosModules.agent
        without.nixosModules.coop-cloud
        without.nixosModules.coop-cloud-base
      ];
      apps =
        map (name: "coop-cloud-${name}") (builtins.attrNames without.lib.ccApps)
        ++ [
          "agent"
          "coop-cloud"
          "coop-cloud-base"
        ];
    };
    expected = {
      files = [
        true
        true
        true
      ];
      apps =
        builtins.filter (name: builtins.match "coop-cloud-.*" name != null && name != "coop-cloud-base") (
          builtins.attrNames without.nixosModules
        )
        ++ [
          "agent"
          "coop-cloud"
          "coop-cloud-base"
        ];
    };
  };
  "one app's module, the factory and the overlay make the units of that app" = {
    expr =
      let
        config =
          (lib.evalModules {
            modules = [
              (import ./nixos-options.nix { inherit lib; })
              without.nixosModules.coop-cloud-ghost
              (without.lib.mkCcApp {
                recipe = "wiki";
                domain = "wiki.example.org";
                version = "1.0.0+1.0";
              })
              {
                _module.args.pkgs = pkgs // without.overlays.default pkgs pkgs;
                services.coop-cloud.ghost = {
                  enable = true;
                  domain = "blog.example.org";
                  version = "1.3.0+6.42.0-alpine";
                };
              }
            ];
          }).config;
        pkgs = stub // {
          git = "/git";
          openssh = "/openssh";
          coreutils = "/coreutils";
          rustPlatform.buildRustPackage = x: {
            type = "derivation";
            name = x.pname;
            outPath = "/built";
          };
          writeText = name: _: {
            type = "derivation";
            inherit name;
            outPath = "/store/${name}";
          };
        };
      in
      map (name: config.systemd.services.${name}.serviceConfig.ExecStart) [
        "cc-app-ghost"
        "cc-app-wiki"
      ];
    expected = [
      ''"/built/bin/freehold" "app" "deploy" "blog.example.org" "--settings" "/store/cc-app-ghost.json"''
      ''"/built/bin/freehold" "app" "deploy" "wiki.example.org" "--settings" "/store/cc-app-wiki.json"''
    ];
  };
  "templates need no nixpkgs, and are there" = {
    expr = builtins.attrValues (builtins.mapAttrs (_: t: builtins.pathExists (t.path + "/freehold.nix")) without.templates);
    expected = [
      true
      true
      true
      true
    ];
  };
  "names of packages need no nixpkgs" = {
    expr = builtins.attrNames without.packages.x86_64-linux;
    expected = [
      "default"
      "freehold"
      "freehold-static"
    ];
  };
  "the package has the version of the workspace" = {
    expr = [
      (
        stubbed.packages.x86_64-linux.default.version
        == (builtins.fromTOML (builtins.readFile ../../Cargo.toml)).workspace.package.version
      )
      stubbed.packages.x86_64-linux.default.meta.mainProgram
      stubbed.packages.x86_64-linux.freehold-static.static
    ];
    expected = [
      true
      "freehold"
      true
    ];
  };
  "the shell has what `./x` and `just` call" = {
    expr = builtins.elem "just" stubbed.devShells.x86_64-linux.default.packages;
    expected = true;
  };
}
