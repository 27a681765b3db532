# The options of a component, that is of a resource or a composite: one table, read by the quick path and by the module
# system alike (`../lib/component.nix`), and rendered as documentation.
#
# `members`, `inputs` and `outputs` are not here: their types depend on where the component stands.
{ lib, memberTypes }:
let
  inherit (lib) mkOption types;
  inherit (memberTypes)
    lazyList
    memberPath
    memberRef
    providerDeclarations
    record
    stateHolder
    ;

  conditions =
    what:
    mkOption {
      type = lazyList;
      default = [ ];
      description = "${what} Each is `{ assertion = true or false; message = \"what is wrong\"; }`.";
    };
in
{
  type = mkOption {
    type = types.raw;
    description = ''
      What kind of object the resource is: `providers.<provider>.<type>`, or the same as a string (`"local.file"`).
      A member with a type is a resource; one without is a composite.
    '';
    example = "providers.local.file";
  };

  provider = mkOption {
    type = record {
      type = {
        type = types.enum [
          "stdio"
          "builtin"
        ];
        default = null;
      };
      name = {
        type = types.str;
        default = null;
      };
      executable = {
        type = types.raw;
        default = null;
      };
      args = {
        type = lazyList;
        default = null;
      };
      config = {
        type = types.lazyAttrsOf types.raw;
        default = { };
      };
    };
    default = { };
    description = "The program that implements the resource; `type` sets it.";
  };

  resourceType = mkOption {
    type = types.str;
    description = "Name of the resource type at its provider; `type` sets it.";
  };

  outputsSkeleton = mkOption {
    type = types.lazyAttrsOf types.raw;
    description = "Names of the outputs; the type or the options of `outputs` set it.";
  };

  requireState = mkOption {
    type = types.bool;
    default = false;
    description = "Whether the provider needs what was recorded before. Freehold records every resource.";
  };

  state = mkOption {
    type = types.nullOr stateHolder;
    default = null;
    description = "The member that holds the record of this resource; null is the deployment's own state.";
    example = "members.state";
  };

  lifecycle = mkOption {
    type = record {
      protect = {
        type = types.bool;
        default = false;
      };
      keep = {
        type = types.bool;
        default = false;
      };
      createBeforeDestroy = {
        type = types.bool;
        default = false;
      };
      ignoreChanges = {
        type = types.listOf types.str;
        default = [ ];
      };
      replaceWhen = {
        type = lazyList;
        default = [ ];
      };
      moved = {
        type = types.listOf memberPath;
        default = [ ];
      };
    };
    default = { };
    description = ''
      How the resource lives and dies. `protect` refuses to delete or replace it; `keep` forgets it and leaves its object
      when it leaves the deployment; `createBeforeDestroy` makes the new object first; `ignoreChanges` names inputs
      (`"env.PATH"` for a part) whose change changes nothing; a change of a value in `replaceWhen` replaces it; `moved`
      lists earlier paths of the member, from the root.
    '';
  };

  preconditions = conditions "What must hold before anything is done to the resource.";
  postconditions = conditions "What must hold after it, for example of its outputs.";

  operations = mkOption {
    type = types.lazyAttrsOf (record {
      executable = {
        type = types.raw;
      };
      args = {
        type = lazyList;
        default = [ ];
      };
      env = {
        type = types.lazyAttrsOf types.raw;
        default = { };
      };
      stdin = {
        type = types.raw;
        default = null;
      };
      description = {
        type = types.str;
        default = "";
      };
    });
    default = { };
    description = "Programs that `freehold run MEMBER NAME` runs; their arguments may use outputs.";
  };

  dependsOn = mkOption {
    type = types.listOf memberRef;
    default = [ ];
    description = "Members that must be done first although no value of theirs is used.";
    example = "[ members.database ]";
  };

  providers = mkOption {
    type = providerDeclarations;
    default = { };
    description = ''
      Providers for this component and what is in it: `{ executable; args; config; types.<type> = { inputs; outputs; }; }`,
      settings of a built-in one (`providers.s3.config = { … }`) or the same under another name
      (`providers.backup = { from = "s3"; config = { … }; }`).
    '';
  };

  moved = mkOption {
    type = types.listOf (record {
      from = {
        type = memberPath;
      };
      to = {
        type = memberPath;
      };
    });
    default = [ ];
    description = "Records to move: `{ from = [ \"old\" ]; to = [ \"new\" ]; }`, seen from this composite.";
  };

  removed = mkOption {
    type = types.listOf memberPath;
    default = [ ];
    description = "Records to drop without touching the world, seen from this composite.";
  };

  checks = conditions "What must hold of the composite.";
}
