# Evaluates one component: the definitions of a member → what other expressions see of it (its *view*), which carries its
# export for the engine in `_export`.
#
# There are two ways to the same view:
#   * the quick path, for definitions that are plain sets, or functions that return one: options are merged straight from
#     the table in `../modules/component.nix`. One member costs some tens of microseconds;
#   * the module system, for definitions with `imports`, `options`, `config`, paths and so on, and for the root.
# Nothing looks at all members at once, and nothing of a member is forced before it is asked for.
#
# Where to go next: `export.nix` makes the export from the merged options.
{
  lib,
  errors,
  optionTable,
  memberTypes,
  providersLib,
  exportLib,
  specialArgs,
}:
let
  inherit (builtins)
    attrNames
    concatMap
    elem
    filter
    functionArgs
    head
    intersectAttrs
    isAttrs
    isFunction
    mapAttrs
    removeAttrs
    tail
    zipAttrsWith
    ;
  inherit (lib) mkOption types;
  inherit (memberTypes)
    inputValue
    isProperty
    mergeOne
    settle
    ;

  # What makes a definition a module in the long form.
  longForm = {
    config = null;
    options = null;
    imports = null;
    require = null;
    freeformType = null;
    disabledModules = null;
    key = null;
    _module = null;
    _type = null;
  };
  ignored = [
    "_class"
    "_file"
  ];

  memberOptions = {
    members = null;
    inputs = null;
    outputs = null;
  };
  knownNames = attrNames (optionTable // memberOptions) ++ ignored;

  # ---- context ----------------------------------------------------------------------------------------------------
  # `path` from the root · `outputs`: node of `outputValues` · `scope`: providers · `siblings`: views around it ·
  # `root`: view of the root · `session`: what is the same everywhere.

  childContext = ctx: scope: members: name: {
    path = ctx.path ++ [ name ];
    outputs = ctx.outputs.${name} or (throw "no outputs are known of `${errors.showMember (ctx.path ++ [ name ])}`");
    inherit scope;
    siblings = members;
    inherit (ctx) root session;
  };

  moduleArgs = ctx: view: scope: {
    members = view.members;
    providers = scope;
    resources = mapAttrs (_: exportLib.legacyView) view.members;
    inherit (ctx) siblings root;
  };

  # Arguments that are the same everywhere; `imports` may depend on them.
  sessionArgs =
    session:
    {
      inherit (session) reveal resourceProviderSystem freeholdLib;
      freehold.lib = session.freeholdLib;
    }
    // specialArgs;

  # ---- members ----------------------------------------------------------------------------------------------------

  # All members of a component: name → view.
  membersOf =
    {
      loc,
      context,
      extraModules,
      ...
    }:
    defs:
    let
      one = head defs;
    in
    if tail defs == [ ] then
      mapAttrs (
        name: value:
        evalMember extraModules (context name) (loc ++ [ name ]) [
          {
            inherit (one) file;
            inherit value;
          }
        ]
      ) one.value
    else
      zipAttrsWith (name: ds: evalMember extraModules (context name) (loc ++ [ name ]) ds) (
        map (d: mapAttrs (_: value: { inherit (d) file; inherit value; }) d.value) defs
      );

  membersType =
    args:
    lib.mkOptionType {
      name = "members";
      description = "set of members";
      check = isAttrs;
      merge = loc: defs: membersOf (args // { inherit loc; }) defs;
      emptyValue = {
        value = { };
      };
      # `options.members = lazyAttrsOf (submodule …)` in a mix-in adds modules to every member. Which of the two types is
      # asked to merge with the other is up to the module system: ours takes the modules of the other; seen from the
      # other, ours is a set of submodules.
      inherit (types.lazyAttrsOf (memberModules args)) functor getSubModules;
      # Called with all modules that were gathered, ours among them.
      substSubModules =
        modules: membersType (args // { extraModules = filter (m: !(isOwnModule m)) modules; });
      typeMerge =
        other:
        let
          elemType = other.payload.elemType or other.wrapped or null;
          modules = if elemType == null then null else elemType.getSubModules;
        in
        if isSetType other.name && modules != null then
          membersType (args // { extraModules = args.extraModules ++ modules; })
        else
          null;
    };

  isSetType =
    let
      names = map (t: (t types.raw).functor.name) [
        types.lazyAttrsOf
        types.attrsOf
      ];
    in
    name: elem name names;

  ownKey = "<freehold member>";
  isOwnModule =
    m: isAttrs m && (m.key or null == ownKey || builtins.any isOwnModule (m.imports or [ ]));

  memberModules =
    args:
    types.submoduleWith {
      class = "nixops4Component";
      specialArgs = sessionArgs args.session;
      shorthandOnlyDefinesConfig = null;
      modules = [
        {
          key = ownKey;
          imports = [
            (
              { name, ... }:
              {
                imports = [ (componentModule (args.context name) (args.loc ++ [ name ])) ];
              }
            )
          ];
        }
      ]
      ++ args.extraModules;
    };

  evalMember =
    extraModules: ctx: loc: defs:
    let
      settled = if tail defs == [ ] && !(isProperty (head defs).value) then defs else settle loc defs;
      quick = evalQuick ctx loc settled;
    in
    if extraModules == [ ] && quick.possible then
      quick.view
    else
      (evalFull ctx loc (extraModules ++ map asModule settled)).view;

  asModule = d: {
    _file = d.file;
    imports = [ d.value ];
  };

  # ---- the quick path ---------------------------------------------------------------------------------------------

  evalQuick =
    ctx: loc: defs:
    let
      args = {
        inherit lib;
        config = view;
        options = (evalFull ctx loc (map asModule defs)).options;
        name = lib.last loc;
      }
      // moduleArgs ctx view scope
      // sessionArgs ctx.session;
      applied = map (
        d:
        let
          f = d.value;
          v =
            if isFunction f then
              if removeAttrs (functionArgs f) (attrNames args) == { } then f args else null
            else if isAttrs f && f ? __functor then
              if removeAttrs (lib.functionArgs f) (attrNames args) == { } then f args else null
            else
              f;
        in
        if isAttrs f && !(f ? __functor) then
          d
        else
          {
            inherit (d) file;
            value = v;
          }
      ) defs;
      possible = builtins.all (d: isAttrs d.value && intersectAttrs longForm d.value == { }) applied;

      single = applied != [ ] && tail applied == [ ];
      only = (head applied).value;
      defsOf =
        if single then
          name:
          if only ? ${name} then
            [
              {
                inherit (head applied) file;
                value = only.${name};
              }
            ]
          else
            [ ]
        else
          name:
          concatMap (
            d:
            if d.value ? ${name} then
              [
                {
                  inherit (d) file;
                  value = d.value.${name};
                }
              ]
            else
              [ ]
          ) applied;
      has =
        name:
        let
          ds = defsOf name;
        in
        # A type may be unknown, and what has one is a resource all the same.
        ds != [ ]
        && (name == "type" || tail ds == [ ] && !(isProperty (head ds).value) || settle (loc ++ [ name ]) ds != [ ]);

      option =
        name: o:
        let
          ds = defsOf name;
          absent =
            if o ? default then
              if ds == [ ] && o.default == { } then mergeOne (loc ++ [ name ]) o.type [ { file = ""; value = { }; } ] else o.default
            else
              throw "`${errors.showPath (loc ++ [ name ])}` is not defined";
        in
        if ds == [ ] then
          absent
        else if tail ds == [ ] && !(isProperty (head ds).value) then
          mergeOne (loc ++ [ name ]) o.type ds
        else if settle (loc ++ [ name ]) ds == [ ] then
          absent
        else
          mergeOne (loc ++ [ name ]) o.type ds;

      unknown = concatMap (d: attrNames (removeAttrs d.value knownNames)) applied;

      scope =
        if defsOf "providers" == [ ] then
          ctx.scope
        else
          providersLib.extendScope loc ctx.scope (option "providers" optionTable.providers);

      type = providersLib.resolve (loc ++ [ "type" ]) scope (option "type" optionTable.type);
      members =
        let
          ds = defsOf "members";
          plain = if ds == [ ] || tail ds == [ ] && !(isProperty (head ds).value) then ds else settle (loc ++ [ "members" ]) ds;
        in
        if plain == [ ] then
          { }
        else
          membersOf {
            loc = loc ++ [ "members" ];
            context = childContext ctx scope view.members;
            extraModules = [ ];
          } (map (checkSet (loc ++ [ "members" ])) plain);

      inputDefs =
        let
          ds = defsOf "inputs";
        in
        if ds == [ ] || tail ds == [ ] && !(isProperty (head ds).value) then ds else settle (loc ++ [ "inputs" ]) ds;

      view =
        if unknown != [ ] then
          throw (unknownOption loc (head unknown) + errors.definedAt (head unknown) applied)
        else
          mapAttrs option optionTable
          // exportLib.derive {
            inherit
              ctx
              loc
              has
              type
              ;
            get = name: option name optionTable.${name};
            inherit inputDefs members;
            hasMembers = has "members";
            hasInputs = inputDefs != [ ];
            outputDefs = defsOf "outputs";
          }
          // {
            inherit members;
          };
    in
    {
      inherit possible view;
    };

  checkSet =
    loc: d:
    if isAttrs d.value then
      d
    else
      throw "`${errors.showPath loc}` must be a set of members, but is a ${builtins.typeOf d.value} (in `${toString d.file}`)";

  unknownOption =
    loc: name:
    let
      names = filter (n: !(elem n ignored)) knownNames;
      at = errors.showPath (loc ++ [ name ]);
      near = errors.nearest name names;
    in
    "`${at}` does not exist.${errors.didYouMean name names}\n"
    + (
      if near != [ ] then
        "hint: `${errors.showPath (loc ++ [ (head near) ])} = …;`"
      else
        "hint: an input is written `${errors.showPath (loc ++ [ "inputs" name ])} = …;`, a member of a composite `${errors.showPath (loc ++ [ "members" name ])} = …;`; options here: ${errors.listed names}"
    );

  # ---- the module system ------------------------------------------------------------------------------------------

  # The priority of an option's default.
  defaultPriority = 1500;

  freeformValues = {
    _file = "<freehold inputs>";
    freeformType = types.lazyAttrsOf inputValue;
  };

  # A component as a module. Its shape must not depend on the context, which is known only when its name is.
  componentModule =
    ctx: loc:
    {
      config,
      options,
      ...
    }:
    let
      scope =
        if isDefined "providers" then providersLib.extendScope loc ctx.scope config.providers else ctx.scope;
      isDefined = name: options.${name}.isDefined && options.${name}.highestPrio < defaultPriority;
      get = name: config.${name};
      typed = exportLib.isTyped {
        inherit get;
        has = isDefined;
      };
      type = providersLib.resolve (loc ++ [ "type" ]) scope config.type;
      declaredBy =
        name:
        removeAttrs (options.${name}.type.getSubOptions [ ]) [
          "_module"
          "_freeformOptions"
        ];

      derived = exportLib.derive {
        inherit
          ctx
          loc
          get
          type
          ;
        has = isDefined;
        inherit (config) members;
        hasMembers = isDefined "members";
        hasInputs = isDefined "inputs" && !typed;
        inputDefs = null;
        inputSet = config.inputs;
        declaredInputs =
          declaredBy "inputs"
          // exportLib.declaredByDefinitions (loc ++ [ "inputs" ]) options.inputs.definitionsWithLocations;
        outputDefs = [ ];
        outputSet = config.outputs;
        declaredOutputs = declaredBy "outputs";
      };

      freeform =
        description:
        mkOption {
          type = types.submoduleWith {
            modules = [ freeformValues ];
            shorthandOnlyDefinesConfig = true;
          };
          default = { };
          inherit description;
        };
    in
    {
      _file = "<freehold component>";
      options = optionTable // {
        members = mkOption {
          type = membersType {
            loc = loc ++ [ "members" ];
            context = childContext ctx scope config.members;
            inherit (ctx) session;
            extraModules = [ ];
          };
          default = { };
          description = "What the composite consists of: resources and composites by name.";
        };
        inputs = freeform "What is given to the provider.";
        outputs = freeform "What the provider gives back, known when the resource is there.";
        absoluteMemberPath = mkOption {
          type = types.raw;
          readOnly = true;
          default = ctx.path;
          description = "Where the component is, from the root.";
        };
        _derived = mkOption {
          type = types.raw;
          readOnly = true;
          internal = true;
          default = derived;
          description = "What follows from the options.";
        };
        _export = mkOption {
          type = types.raw;
          readOnly = true;
          internal = true;
          default = derived._export;
          description = "What the engine gets.";
        };
      };
      config = {
        _module.args = moduleArgs ctx config scope // {
          name = lib.mkOptionDefault (if ctx.path == [ ] then "" else lib.last ctx.path);
        };
        inputs = lib.mkIf (typed && type.inputModule != null) (_: {
          imports = [ type.inputModule ];
        });
        outputs = lib.mkMerge [
          (lib.mkIf (typed && type.outputModule != null) (_: {
            imports = [ type.outputModule ];
          }))
          (lib.mkIf (typed || options.resourceType.isDefined) (
            mapAttrs (name: _: ctx.outputs.${name}) derived.outputsSkeleton
          ))
        ];
        resourceType = lib.mkIf typed (lib.mkDefault type.type);
      };
    };

  evalFull =
    ctx: loc: modules:
    let
      evaluated = lib.evalModules {
        class = "nixops4Component";
        prefix = loc;
        specialArgs = sessionArgs ctx.session;
        modules = [ (componentModule ctx loc) ] ++ modules;
      };
      inherit (evaluated) config options;
    in
    {
      inherit options;
      view = config // {
        inherit (config._derived)
          __toString
          _holdsState
          inputs
          outputsSkeleton
          provider
          state
          ;
      };
    };
in
{
  inherit evalFull;
}
