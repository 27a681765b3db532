{
  description = "Freehold: plan and apply deployments of resources written in Nix";

  # Only packages, shells and checks use it. `lib` and `templates` need no nixpkgs.
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    {
      self,
      nixpkgs,
      ...
    }:
    let
      systems = [
        "x86_64-linux"
        "aarch64-linux"
        "x86_64-darwin"
        "aarch64-darwin"
      ];
      # Lazy in everything but the names of the systems.
      forSystems =
        f:
        builtins.listToAttrs (
          map (system: {
            name = system;
            value = f system nixpkgs.legacyPackages.${system};
          }) systems
        );

      package = import ./nix/package.nix;
    in
    {
      # For a flake: `freehold = inputs.freehold.lib.mkRoot { inherit (nixpkgs) lib; modules = [ … ]; };`
      lib = (import ./nix { }).lib;

      # `imports = [ inputs.freehold.nixosModules.coop-cloud ];`
      nixosModules = {
        # The agent of a host, `services.freehold.agent`.
        agent = ./nix/nixos/agent.nix;
        # Swarm and proxy of a host, `services.coop-cloud-base`, and all apps, `services.coop-cloud.<app>`.
        coop-cloud-base = ./nix/nixos/coop-cloud-base.nix;
        coop-cloud = ./nix/nixos/coop-cloud.nix;
      }
      # One app by itself: `nixosModules.coop-cloud-ghost`.
      // builtins.listToAttrs (
        map (recipe: {
          name = "coop-cloud-${recipe}";
          value = self.lib.ccApps.${recipe} { };
        }) (builtins.attrNames self.lib.ccApps)
      );

      # `nixpkgs.overlays = [ inputs.freehold.overlays.default ];` gives the modules their `pkgs.freehold`.
      overlays.default = final: _: { freehold = package final; };

      templates = {
        default = self.templates.hello;
        hello = {
          path = ./examples/hello;
          description = "Three resources, one of which knows its value only once it has been made";
          welcomeText = "Next: `freehold plan`, then `freehold apply`.";
        };
        customers = {
          path = ./examples/customers;
          description = "Options of one's own, and applications as mix-ins";
        };
        sequence = {
          path = ./examples/sequence;
          description = "A key pair with its state in a bucket, and what uses it";
        };
      };

      packages = forSystems (
        system: pkgs: {
          default = self.packages.${system}.freehold;
          freehold = package pkgs;
          # One file that runs on any Linux of the architecture.
          freehold-static = package pkgs.pkgsStatic;
        }
      );

      devShells = forSystems (
        _: pkgs: {
          default = pkgs.mkShell {
            packages = with pkgs; [
              cargo
              cargo-deny
              clippy
              git
              just
              mdbook
              nix
              rust-analyzer
              rustc
              rustfmt
              shellcheck
              typos
            ];
          };
        }
      );

      checks = forSystems (
        system: pkgs: {
          package = self.packages.${system}.freehold;
          # The suites of the Nix library are evaluated, not built: a failure is an error of evaluation.
          nix-library-on-nixpkgs-lib = pkgs.writeText "nix-library-on-nixpkgs-lib" (
            import ./nix/tests/suite.nix { inherit (nixpkgs) lib; }
          );
          nix-library-on-minilib = pkgs.writeText "nix-library-on-minilib" (import ./nix/tests/suite.nix { });
        }
      );

      formatter = forSystems (_: pkgs: pkgs.nixfmt-rfc-style);
    };
}
