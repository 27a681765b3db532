# mkRoot: modules → a root, the value that a deployment file returns.
#
#   mkRoot { modules; specialArgs ? { }; prefix ? [ ]; lib ? the built-in minilib; }
#   → { _type = "nixops4Component"; freehold = 1; rootFunction; getProviders; }
#
# `rootFunction { resourceProviderSystem; outputValues; freehold ? { }; }` is NixOps4's contract: one application is one
# *generation*, so it must be cheap. What does not depend on outputs is outside of it: the table of options, the scope of the built-in
# providers, and whatever the user puts outside of his modules.
{
  moduleLib,
  builtinProviders,
  providersGiven,
  reveal,
  freeholdLib,
}:
{
  mkRoot =
    {
      modules,
      specialArgs ? { },
      prefix ? [ ],
      lib ? moduleLib,
      # The holder of the state may be the input `state` (`legacy.nix`).
      legacy ? false,
    }@args:
    let
      # Errors about modules that are written in place name the file that calls `mkRoot`.
      position = builtins.unsafeGetAttrPos "modules" args;
      located =
        if position == null then
          modules
        else
          [
            {
              _file = position.file;
              imports = modules;
            }
          ];
      errors = import ./errors.nix;
      memberTypes = import ./member-types.nix { inherit lib errors; };
      hereLib = freeholdLib // {
        inherit lib;
      };

      # One set of libraries per system, because provider modules may ask for it.
      forSystem =
        resourceProviderSystem:
        let
          providersLib = import ./providers.nix {
            inherit lib errors;
            specialArgs = {
              inherit resourceProviderSystem;
            }
            // specialArgs;
          };
          optionTable = import ../modules/component.nix {
            inherit lib;
            memberTypes = memberTypes // {
              inherit (providersLib) providerDeclarations;
            };
          };
          exportLib = import ./export.nix {
            inherit
              lib
              errors
              memberTypes
              providersLib
              ;
          };
          componentLib = import ./component.nix {
            inherit
              lib
              errors
              optionTable
              memberTypes
              providersLib
              exportLib
              specialArgs
              ;
          };
        in
        {
          inherit componentLib providersLib optionTable;
          scope = providersLib.builtinScope builtinProviders;
        };

      evalRoot =
        shared:
        {
          resourceProviderSystem,
          outputValues,
          freehold ? { },
          ...
        }:
        let
          # Where the library itself was not told what the providers offer.
          offered = if providersGiven then { } else freehold.providers or { };
          result = shared.componentLib.evalFull {
            # Not the root of the tree when several roots are put under one (`legacy.nix`).
            path = freehold.path or [ ];
            outputs = outputValues;
            scope = if offered == { } then shared.scope else shared.providersLib.builtinScope offered;
            siblings = { };
            root = result.view.members;
            session = {
              inherit resourceProviderSystem legacy;
              reveal = freehold.reveal or freeholdLib.reveal;
              freeholdLib = hereLib;
            };
          } prefix located;
        in
        result;

      # Shared by all generations of one process: `builtins.currentSystem` is the system in all but rare cases.
      here = forSystem builtins.currentSystem;
      sharedFor = system: if builtins ? currentSystem && system == builtins.currentSystem then here else forSystem system;

      evalFor = args: evalRoot (sharedFor args.resourceProviderSystem) args;
    in
    {
      _type = "nixops4Component";
      freehold = 1;

      rootFunction = args: (evalFor args).view._export;

      # A derivation whose output names the executables of the root's providers: built ahead of time, for each system.
      getProviders =
        { system }:
        let
          view =
            (evalFor {
              resourceProviderSystem = system;
              outputValues = throw "outputs are not known while the providers of a root are listed";
            }).view;
          listed = builtins.mapAttrs (_: p: { inherit (p) executable args; }) (
            lib.filterAttrs (_: p: p.executable != null) view.providers
          );
        in
        derivation {
          name = "freehold-root-providers";
          inherit system;
          builder = "/bin/sh";
          args = [
            "-c"
            "echo \"$providers\" > \"$out\""
          ];
          providers = builtins.toJSON listed;
        };

      # Not part of the contract: the options of the root as evaluated, for documentation and debugging.
      evaluate = args: { inherit (evalFor args) options view; };
    };
}
