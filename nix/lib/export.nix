# From merged options to what leaves the library: the derived part of a view, and the export that the engine reads.
#
# The form of the export is NixOps4's, with additions that are left out where nothing was said:
#   composite: { members = { name = export; }; moved; removed; checks; }
#   resource:  { resource = { provider; type; inputs; outputsSkeleton; state; lifecycle; preconditions; postconditions;
#                operations; dependsOn; }; }
{
  lib,
  errors,
  memberTypes,
  providersLib,
}:
let
  inherit (builtins)
    attrNames
    filter
    head
    isAttrs
    isFunction
    isPath
    listToAttrs
    map
    mapAttrs
    removeAttrs
    tail
    zipAttrsWith
    ;
  inherit (memberTypes) valueOf inputValue;

  needsModules = d: !(isAttrs d.value) || d.value ? __functor;

  # The inputs from plain definitions.
  plainInputs =
    loc: defs:
    if defs == [ ] then
      { }
    else if tail defs == [ ] then
      mapAttrs (
        name: value:
        valueOf (loc ++ [ name ]) [
          {
            inherit (head defs) file;
            inherit value;
          }
        ]
      ) (head defs).value
    else
      zipAttrsWith (name: ds: valueOf (loc ++ [ name ]) ds) (
        map (d: mapAttrs (_: value: { inherit (d) file; inherit value; }) d.value) defs
      );

  # The inputs (or outputs) from definitions that are modules, or for a type that declares options.
  modularSet =
    loc: module: defs:
    lib.evalModules {
      prefix = loc;
      modules = [
        {
          _file = "<freehold inputs>";
          freeformType = lib.types.lazyAttrsOf inputValue;
        }
      ]
      ++ lib.optional (module != null) module
      ++ map (
        d:
        if needsModules d then
          {
            _file = d.file;
            imports = [ d.value ];
          }
        else
          {
            _file = d.file;
            config = d.value;
          }
      ) defs;
    };

  declaredIn =
    evaluated:
    removeAttrs evaluated.options [
      "_module"
      "_freeformOptions"
    ];

  # Options that definitions declare, those that are modules.
  declaredByDefinitions =
    loc: defs:
    let
      modular = filter needsModules defs;
    in
    if modular == [ ] then { } else declaredIn (modularSet loc null modular);

  # Names that the type does not know, or wants and did not get: a message, or null.
  inputProblem =
    {
      loc,
      type,
      declared,
      names,
      defs,
    }:
    let
      specs = if type.inputs == null then { } else type.inputs;
      known = specs // declared;
      open = type.inputs == null && declared == { };
      unknown = attrNames (removeAttrs names (attrNames (known // type.aliases)));
      given = names // listToAttrs (
        map (alias: {
          name = type.aliases.${alias};
          value = null;
        }) (filter (alias: names ? ${alias}) (attrNames type.aliases))
      );
      missing = filter (n: specs.${n}.required && !(given ? ${n})) (attrNames specs);
      at = name: errors.showPath (loc ++ [ name ]);
      near = errors.nearest (head unknown) (attrNames known);
      typeName = "${if type.provider.type == "builtin" then "${type.provider.name}." else ""}${type.type}";
    in
    if open then
      null
    else if unknown != [ ] then
      "`${at (head unknown)}` does not exist: `${typeName}` has no such input.${errors.didYouMean (head unknown) (attrNames known)}\n"
      + (if near == [ ] then "hint: " else "hint: `${at (head near)} = …;`\nnote: ")
      + "inputs of `${typeName}`: ${errors.listed (attrNames known)}"
      + errors.definedAt (head unknown) defs
    else if missing != [ ] then
      "`${at (head missing)}` is missing: `${typeName}` needs it${
        if specs.${head missing}.description == "" then "" else " (${specs.${head missing}.description})"
      }\nhint: `${at (head missing)} = …;`${
        if tail missing == [ ] then "" else "\nnote: also missing: ${errors.listed (tail missing)}"
      }"
    else
      null;

  untyped = {
    inputs = null;
    outputs = null;
    aliases = { };
    inputModule = null;
    outputModule = null;
    provider.type = "stdio";
    type = "resource";
    holdsState = null;
  };

  # Whether `type` names a provider and a type. With a `provider.executable` a string is the name at that provider.
  isTyped =
    { has, get }:
    has "type" && !(has "provider" && (get "provider").executable != null && builtins.isString (get "type"));

  derive =
    {
      ctx,
      loc,
      has,
      get,
      type,
      # Definitions (quick path), or the merged set and its declared options (module system).
      inputDefs,
      inputSet ? null,
      declaredInputs ? { },
      outputDefs,
      outputSet ? null,
      declaredOutputs ? { },
      # Views of the members.
      members,
      hasMembers,
      hasInputs,
    }:
    let
      path = ctx.path;
      typed = isTyped { inherit has get; };
      isResource = has "type" || has "resourceType";
      member = if path == [ ] then "the root" else errors.showMember path;
      kind = if typed then type else untyped;

      # -- inputs
      inputLoc = loc ++ [ "inputs" ];
      modularInputs = inputDefs != null && (kind.inputModule != null || builtins.any needsModules inputDefs);
      evaluatedInputs = modularSet inputLoc kind.inputModule inputDefs;
      rawInputs = if stateAsInput then removeAttrs givenInputs [ "state" ] else givenInputs;
      stateAsInput = ctx.session.legacy && givenInputs ? state && !(kind.inputs != null && kind.inputs ? state);
      givenInputs =
        if inputDefs == null then
          inputSet
        else if modularInputs then
          evaluatedInputs.config
        else
          plainInputs inputLoc inputDefs;
      problem = inputProblem {
        loc = inputLoc;
        type = kind;
        declared =
          if inputDefs == null then
            declaredInputs
          else if modularInputs then
            declaredIn evaluatedInputs
          else
            { };
        names = rawInputs;
        defs = if inputDefs == null then [ ] else inputDefs;
      };
      inputs = if problem == null then rawInputs else throw problem;

      # -- outputs
      evaluatedOutputs = modularSet (loc ++ [ "outputs" ]) kind.outputModule (
        outputDefs
        ++ [
          {
            file = "<outputs>";
            value = outputsFromEngine;
          }
        ]
      );
      outputsFromEngine = mapAttrs (name: _: ctx.outputs.${name}) outputsSkeleton;
      outputsModular = kind.outputModule != null || outputDefs != [ ];
      outputsSkeleton =
        if has "outputsSkeleton" then
          get "outputsSkeleton"
        else if kind.outputs != null then
          mapAttrs (_: _: { }) (kind.outputs // declaredOutputs)
        else if outputDefs != [ ] then
          mapAttrs (_: _: { }) (declaredIn (modularSet (loc ++ [ "outputs" ]) null (filter needsModules outputDefs)))
        else
          mapAttrs (_: _: { }) declaredOutputs;
      outputs =
        if outputSet != null then
          outputSet
        else if outputsModular then
          evaluatedOutputs.config
        else
          outputsFromEngine;

      # -- provider
      given = get "provider";
      provider =
        if typed then
          if has "provider" then
            type.provider
            // lib.filterAttrs (_: v: v != null) (removeAttrs given [ "config" ])
            // {
              config = type.provider.config // given.config;
            }
          else
            type.provider
        else if given.type or null == "builtin" then
          {
            inherit (given) type name config;
          }
        else if given.executable == null then
          throw "`${errors.showPath (loc ++ [ "provider" "executable" ])}` is missing.\nhint: `${errors.showPath (loc ++ [ "type" ])} = providers.<provider>.<type>;` names a provider and a type at once"
        else
          {
            type = "stdio";
            inherit (given) executable config;
            args = if given.args == null then [ ] else given.args;
          };

      resourceType =
        if has "resourceType" then
          get "resourceType"
        else if typed then
          type.type
        else
          get "type";

      state =
        if has "state" then
          get "state"
        else if stateAsInput then
          givenInputs.state.absoluteMemberPath
        else
          null;

      optional = name: if has name then { ${name} = get name; } else { };

      resource = {
        inherit provider inputs outputsSkeleton;
        type = resourceType;
        inherit state;
      }
      // lifecycle
      // conditions "preconditions"
      // conditions "postconditions"
      // optional "operations"
      // optional "dependsOn";

      # No reason to replace is null, whether the rest of `lifecycle` is there or not.
      lifecycle =
        if has "lifecycle" then
          let
            said = get "lifecycle";
          in
          {
            lifecycle = said // {
              replaceWhen = if said.replaceWhen == [ ] then null else said.replaceWhen;
            };
          }
        else
          { };

      conditions = name: if has name then { ${name} = map (condition name) (get name); } else { };
      condition =
        name: c:
        if c ? assertion && c ? message then
          { inherit (c) assertion message; }
        else
          throw "`${errors.showPath (loc ++ [ name ])}`: a condition is `{ assertion = …; message = \"…\"; }`";

      composite = {
        members = mapAttrs (_: m: m._export) members;
      }
      // (if has "moved" then { moved = map (m: { from = path ++ m.from; to = path ++ m.to; }) (get "moved"); } else { })
      // (if has "removed" then { removed = map (p: path ++ p) (get "removed"); } else { })
      // conditions "checks";

      # What only composites have, and what a resource has in its place.
      instead = {
        moved = "`${errors.showPath (loc ++ [ "lifecycle" "moved" ])} = [ \"old.path\" ];`";
        removed = "records are removed by the composite that they were in";
        checks = "`${errors.showPath (loc ++ [ "preconditions" ])}` or `${errors.showPath (loc ++ [ "postconditions" ])}`";
      };
      misplaced = filter has (attrNames instead);

      stray = filter has [
        "state"
        "lifecycle"
        "preconditions"
        "postconditions"
        "operations"
        "dependsOn"
      ];
    in
    {
      inherit
        inputs
        outputs
        outputsSkeleton
        provider
        resourceType
        state
        ;
      absoluteMemberPath = path;
      # `"${members.x}"` where `members.x.outputs.y` was meant.
      __toString =
        _:
        let
          names = attrNames outputsSkeleton;
        in
        throw (
          "`${member}` is a member, not a text."
          + (
            if isResource && names != [ ] then
              "\nhint: one of its outputs: `${member}.outputs.${errors.showPath [ (head names) ]}`${
                if tail names == [ ] then "" else "; there are ${errors.listed names}"
              }"
            else
              ""
          )
        );
      _holdsState = if typed then kind.holdsState else null;
      _export =
        if isResource then
          if hasMembers then
            throw "`${member}` has both a type and members: it must be a resource or a composite.\nhint: make the resource a member of the composite: `${errors.showPath (loc ++ [ "members" "self" "type" ])} = …;`"
          else if misplaced != [ ] then
            throw "`${errors.showPath (loc ++ [ (head misplaced) ])}` is for composites, and `${member}` is a resource.\nhint: ${instead.${head misplaced}}"
          else
            { inherit resource; }
        else if hasInputs || stray != [ ] then
          throw "`${member}` has ${
            if hasInputs then "inputs" else "`${head stray}`"
          } but no type.\nhint: `${errors.showPath (loc ++ [ "type" ])} = providers.<provider>.<type>;`, for example `providers.local.file`"
        else
          composite;
    };

  # How the older form reads a resource: outputs directly (`resources.x.host`).
  legacyView =
    view:
    {
      handle = view;
    }
    // view.outputs
    // {
      inherit (view) absoluteMemberPath outputs inputs;
      _type = "freeholdMember";
    };
in
{
  inherit
    declaredByDefinitions
    derive
    isTyped
    legacyView
    ;
}
