# The module system: `evalModules`, definitions with properties (`mkIf`, `mkMerge`, priorities, order) and what merges them.
#
# How it works, in reading order:
#   1. `collect` turns the given modules and their imports into a flat list of `{ file; key; options; config; }`.
#   2. `mergeTree` lays the declared options over the definitions: at an option the definitions are merged by its type,
#      above it they are split by name. Everything below a name is lazy.
#   3. What is defined and not declared goes to `freeformType`, or is an error that names the nearest declared option.
lib:
let
  inherit (builtins)
    attrNames
    concatLists
    concatMap
    elem
    filter
    foldl'
    head
    isAttrs
    isList
    isPath
    isString
    length
    listToAttrs
    mapAttrs
    removeAttrs
    sort
    tail
    zipAttrsWith
    ;
  inherit (lib) showOption;

  errors = import ../lib/errors.nix;

  moduleKeys = [
    "_class"
    "_file"
    "key"
    "disabledModules"
    "imports"
    "require"
    "options"
    "config"
    "meta"
    "freeformType"
  ];
  shorthandKeys = [
    "_class"
    "_file"
    "key"
    "disabledModules"
    "imports"
    "require"
    "freeformType"
  ];

  defaultOverridePriority = 100;

  isProperty = v: isAttrs v && v ? _type && elem v._type propertyTypes;
  propertyTypes = [
    "if"
    "merge"
    "override"
    "order"
    "definition"
  ];

  # Definitions without their `mkIf`, `mkMerge` and `mkDefinition`: `{ file; value; }` → list of the same.
  discharge =
    def:
    let
      v = def.value;
    in
    if !(isProperty v) then
      [ def ]
    else if v._type == "if" then
      if builtins.isBool v.condition then
        if v.condition then discharge (def // { value = v.content; }) else [ ]
      else
        throw "`mkIf` takes a Boolean condition, but was given a ${builtins.typeOf v.condition} (in `${toString def.file}')"
    else if v._type == "merge" then
      concatMap (content: discharge (def // { value = content; })) v.contents
    else if v._type == "definition" then
      discharge {
        inherit (v) file value;
      }
    else if v._type == "override" then
      # What it holds is looked at only if it is chosen.
      [
        (
          def
          // {
            value = v.content;
            inherit (v) priority;
          }
        )
      ]
    else
      map (d: d // { order = v.priority; }) (discharge (def // { value = v.content; }));

  priorityOf = d: d.priority or defaultOverridePriority;
  lowestPriority = foldl' (low: d: lib.min low (priorityOf d)) 9999999;

  # Only the definitions with the highest priority (lowest number), in their order.
  choose =
    defs:
    let
      lowest = lowestPriority defs;
      chosen =
        if builtins.any (d: d ? priority) defs then
          concatMap (d: if d ? priority then discharge d else [ d ]) (filter (d: priorityOf d == lowest) defs)
        else
          defs;
    in
    if builtins.any (d: d ? order) chosen then
      sort (a: b: (a.order or defaultOrderPriority) < (b.order or defaultOrderPriority)) chosen
    else
      chosen;
  defaultOrderPriority = 1000;

  # Whether the definitions are one plain value: the case that is worth being quick about.
  isPlain = defs: defs != [ ] && tail defs == [ ] && !(isProperty (head defs).value);

  mergeDefinitions =
    loc: type: defs:
    let
      discharged = if isPlain defs then defs else choose (concatMap discharge defs);
      clean = map (d: { inherit (d) file value; }) discharged;
      bad = filter (d: !(type.check d.value)) clean;
      isDefined = discharged != [ ];
      mergedValue =
        if isDefined then
          if bad == [ ] then
            type.merge loc clean
          else
            throw "A definition for option `${showOption loc}' is not of type `${type.description}'. Definition values:${lib.showDefs bad}"
        else
          throw "The option `${showOption loc}' was accessed but has no value defined. Try setting the option.";
    in
    {
      inherit isDefined mergedValue;
      defsFinal = clean;
      defsFinal' = {
        values = clean;
        highestPrio = lowestPriority (concatMap discharge defs);
      };
      optionalValue = if isDefined then { value = mergedValue; } else { };
    };

  # ---- 1. collect -------------------------------------------------------------------------------------------------

  # A module in one form. `file` is for messages, `key` says which modules are the same one.
  normalise =
    file: key: m:
    let
      long = m ? config || m ? options;
      extra = removeAttrs m moduleKeys;
      body = {
        file = toString (m._file or file);
        key = toString (
          if isAttrs (m.key or null) then
            throw "`key' in `${toString file}' is an attribute set, and has a meaning of its own in a module (a text). Is it to be a member? Then write `members.key'."
          else
            m.key or key
        );
        disabled = m.disabledModules or [ ];
        imports = m.imports or [ ] ++ m.require or [ ];
        class = m._class or null;
      };
      freeform =
        config:
        if m ? freeformType then lib.mkMerge [ config { _module.freeformType = m.freeformType; } ] else config;
    in
    if m._type or null == "option" || m._type or null == "option-type" then
      throw "Expected a module, but found a value of type `${m._type}' while evaluating `${toString file}'."
    else if m ? _type && !(isProperty m) && m._type != "configuration" then
      throw "Expected a module, but found a value of type ${builtins.toJSON m._type}, while trying to load a module into `${toString file}'."
    else if isProperty m then
      normalise file key { config = m; }
    else if long then
      if extra == { } then
        body
        // {
          options = m.options or { };
          config = freeform (m.config or { });
        }
      else
        throw "Module `${body.key}' has an unsupported attribute `${head (attrNames extra)}'. This is caused by introducing a top-level `config' or `options' attribute. Add configuration attributes immediately on the top level instead, or move all of them (${lib.concatStringsSep " " (attrNames extra)}) into the explicit `config' attribute."
    else
      body
      // {
        options = { };
        config = freeform (removeAttrs m shorthandKeys);
      };

  collect =
    {
      args,
      class,
      modulesPath,
    }:
    modules:
    let
      load =
        parentFile: parentKey: index: m:
        if isString m && builtins.substring 0 1 m != "/" then
          throw "Expected a module (a function, an attribute set or a path), but found the text ${builtins.toJSON m} in `${toString parentFile}'."
        else if isPath m || isString m then
          apply (toString m) (toString m) (import m)
        else if isAttrs m && m ? outPath && !(m ? _type) && !(m ? config) then
          apply (toString m) (toString m) (import m)
        else
          apply parentFile "${parentKey}:anon-${toString index}" m;
      apply =
        file: key: m:
        if lib.isFunction m then
          normalise file key (applyArgs file m)
        else if isAttrs m then
          normalise file key m
        else
          throw "Expected a module (a function or an attribute set), but found a ${builtins.typeOf m} in `${toString file}'.";
      applyArgs =
        file: f:
        f (
          args.fixed
          // mapAttrs (
            name: _: builtins.addErrorContext "while evaluating the module argument `${name}' in \"${file}\":" (args.get file name)
          ) (lib.functionArgs f)
        );

      # The modules as items of a closure: breadth first, one per key.
      items =
        file: key: ms:
        lib.imap1 (
          index: m:
          let
            one = load file key index m;
          in
          if class != null && one.class != null && one.class != class then
            throw "The module `${one.file}' (class: ${builtins.toJSON one.class}) cannot be imported into a module evaluation that expects class ${builtins.toJSON class}."
          else
            {
              inherit (one) key;
              module = one;
            }
        ) ms;
      closure =
        keep:
        builtins.genericClosure {
          startSet = keep (items "<unknown-file>" "" modules);
          operator = item: keep (items item.module.file item.module.key item.module.imports);
        };
      all = closure (xs: xs);
      disabled = concatMap (item: map (disabledKey item.module.file) item.module.disabled) all;
      disabledKey =
        file: d:
        if isString d && builtins.substring 0 1 d == "/" then
          d
        else if isString d then
          "${toString modulesPath}/${d}"
        else if isPath d then
          toString d
        else if isAttrs d && d ? key then
          toString d.key
        else
          throw "disabledModules: expected a path, a string or a module with a `key' in `${file}'.";
      kept = if disabled == [ ] then all else closure (filter (item: !(elem item.key disabled)));
    in
    # The last comes first, as in nixpkgs: lists and lines join in this order.
    map (item: item.module) (lib.reverseList kept);

  # ---- 2. merge ---------------------------------------------------------------------------------------------------

  # A set of definitions, `mkIf`/`mkMerge` pushed below its names: value → list of plain sets.
  pushDown =
    v:
    if !(isProperty v) then
      [ v ]
    else if v._type == "merge" then
      concatMap pushDown v.contents
    else if v._type == "if" then
      map (mapAttrs (_: content: { _type = "if"; inherit (v) condition; inherit content; })) (pushDown v.content)
    else if v._type == "override" then
      map (mapAttrs (_: content: { _type = "override"; inherit (v) priority; inherit content; })) (pushDown v.content)
    else if v._type == "order" then
      map (mapAttrs (_: content: { _type = "order"; inherit (v) priority; inherit content; })) (pushDown v.content)
    else
      map (mapAttrs (_: value: { _type = "definition"; inherit (v) file; inherit value; })) (pushDown v.value);

  isOption = x: isAttrs x && x._type or null == "option";

  mergeDeclarations =
    loc: decls:
    let
      first = head decls;
      combine =
        acc: decl:
        let
          a = acc.option;
          b = decl.option;
          bothTyped = a ? type && b ? type;
          merged = a.type.typeMerge b.type.functor;
          clash = filter (n: a ? ${n} && b ? ${n}) [
            "default"
            "example"
            "description"
            "apply"
          ];
          typed =
            if bothTyped then
              if merged == null then
                throw "The option `${showOption loc}' in `${decl.file}' is already declared in `${acc.file}' with a type that cannot be merged with `${b.type.description}'."
              else
                { type = merged; }
            else
              { };
        in
        if clash != [ ] && filter (n: n != "description") clash != [ ] then
          throw "The option `${showOption loc}' in `${decl.file}' is already declared in `${acc.file}'."
        else
          {
            inherit (acc) file;
            option = a // b // typed;
          };
    in
    if tail decls == [ ] then first.option else (foldl' combine first (tail decls)).option;

  # An option with its definitions → what stands at its place in `options`.
  evalOption =
    loc: decls: defs:
    let
      declared = mergeDeclarations loc decls;
      type = declared.type or lib.types.unspecified;
      user =
        if declared.readOnly or false && length (choose (concatMap discharge defs)) > 1 then
          throw "The option `${showOption loc}' is read-only, but it's set multiple times. Definition values:${lib.showDefs defs}"
        else
          defs;
      withDefault =
        if !(declared ? default) then
          user
        else if isPlain user then
          user
        else
          user
          ++ [
            {
              file = (head decls).file;
              value = {
                _type = "override";
                priority = 1500;
                content = declared.default;
              };
            }
          ];
      merged =
        if user == [ ] && declared ? default then
          mergeDefinitions loc type [
            {
              file = (head decls).file;
              value = declared.default;
            }
          ]
        else
          mergeDefinitions loc type withDefault;
      value =
        if merged.isDefined then
          merged.mergedValue
        else
          type.emptyValue.value or (throw "The option `${showOption loc}' was accessed but has no value defined. Try setting the option.");
    in
    declared
    // {
      _type = "option";
      inherit loc type;
      value =
        if declared ? apply then
          declared.apply value
        else
          value;
      isDefined = merged.isDefined;
      definitions = map (d: d.value) merged.defsFinal;
      definitionsWithLocations = merged.defsFinal;
      files = map (d: d.file) merged.defsFinal;
      highestPrio = if user == [ ] then 1500 else merged.defsFinal'.highestPrio;
      declarations = map (d: d.file) decls;
      options = (type.getSubOptions or (_: { })) loc;
      __toString = _: showOption loc;
    };

  # `decls`: list of `{ file; options = tree; }`; `defs`: list of `{ file; value = plain set; }`.
  mergeTree =
    prefix: decls: defs:
    let
      declsByName = zipAttrsWith (_: values: values) (
        map (d: mapAttrs (_: o: { inherit (d) file; option = o; }) d.options) decls
      );
      defsByName = zipAttrsWith (_: values: values) (
        map (d: mapAttrs (_: value: { inherit (d) file; inherit value; }) d.value) defs
      );
      node =
        name: ds:
        let
          loc = prefix ++ [ name ];
          here = defsByName.${name} or [ ];
          optionDecls = filter (d: isOption d.option) ds;
          others = filter (d: !(isOption d.option)) ds;
          # `options.a = submodule` in one module and `options.a.b = …` in another: the second extends the first.
          asSubmodule = map (d: {
            inherit (d) file;
            option = lib.mkOption {
              type = lib.types.submoduleWith {
                modules = [ { _file = d.file; options = d.option; } ];
                shorthandOnlyDefinesConfig = null;
              };
            };
          }) others;
        in
        if others == [ ] then
          {
            option = evalOption loc optionDecls here;
          }
        else if optionDecls != [ ] then
          {
            option = evalOption loc (optionDecls ++ asSubmodule) here;
          }
        else if builtins.any (d: !(isAttrs d.option)) others then
          throw "Expected an option declaration at option path `${showOption loc}' but got a value of type ${
            builtins.typeOf (head (filter (d: !(isAttrs d.option)) others)).option
          }. hint: wrap it in `lib.mkOption { … }`"
        else
          {
            tree = mergeTree loc (map (d: { inherit (d) file; options = d.option; }) others) (
              concatMap (
                d:
                map (value: {
                  inherit (d) file;
                  value =
                    if isAttrs value then
                      value
                    else
                      throw "The option `${showOption loc}' is a set of options; it cannot be defined as a ${builtins.typeOf value} (in `${toString d.file}').";
                }) (pushDown d.value)
              ) here
            );
          };
      nodes = mapAttrs node declsByName;
    in
    {
      options = mapAttrs (_: n: n.option or n.tree.options) nodes;
      config = mapAttrs (_: n: if n ? option then n.option.value else n.tree.config) nodes;
      # Definitions that no option is declared for.
      unmatched =
        concatMap (
          name:
          map (d: {
            inherit (d) file value;
            path = [ name ];
            siblings = attrNames declsByName;
            inherit prefix;
          }) defsByName.${name}
        ) (attrNames (removeAttrs defsByName (attrNames declsByName)))
        ++ concatMap (
          name:
          if nodes.${name} ? tree then
            map (u: u // { path = [ name ] ++ u.path; }) nodes.${name}.tree.unmatched
          else
            [ ]
        ) (filter (name: declsByName ? ${name}) (attrNames defsByName));
    };

  # ---- 3. evalModules ---------------------------------------------------------------------------------------------

  internalModule = {
    _file = "<the module system>";
    key = "<the module system>";
    options._module = {
      args = lib.mkOption {
        type = lib.types.lazyAttrsOf lib.types.raw;
        default = { };
        internal = true;
        description = "Additional arguments passed to each module.";
      };
      check = lib.mkOption {
        type = lib.types.bool;
        default = true;
        internal = true;
        description = "Whether definitions without a declared option are an error.";
      };
      freeformType = lib.mkOption {
        type = lib.types.nullOr lib.types.raw;
        default = null;
        internal = true;
        description = "The type of definitions without a declared option.";
      };
      specialArgs = lib.mkOption {
        type = lib.types.raw;
        default = { };
        internal = true;
        description = "The `specialArgs` of this evaluation.";
      };
    };
  };

  evalModules =
    evalArgs@{
      modules,
      prefix ? [ ],
      args ? { },
      specialArgs ? { },
      check ? true,
      class ? null,
      ...
    }:
    let
      fixed = {
        inherit lib;
        inherit (result) options config;
        _class = class;
        _prefix = prefix;
      }
      // specialArgs;
      get =
        file: name:
        fixed.${name} or (
          let
            given = result.config._module.args;
          in
          given.${name}
            or (throw "The module `${file}' asks for the argument `${name}', which nothing provides.${errors.didYouMean name (attrNames fixed ++ attrNames given)}")
        );
      collected = collect {
        args = { inherit fixed get; };
        inherit class;
        modulesPath = specialArgs.modulesPath or "";
      } ([ internalModule ] ++ modules ++ (if args == { } then [ ] else [ { config._module.args = args; } ]));
      decls = map (m: { inherit (m) file options; }) (filter (m: m.options != { }) collected);
      defs = concatMap (
        m:
        map (value: {
          inherit (m) file;
          value =
            if isAttrs value then
              value
            else
              throw "The `config' of the module `${m.file}' is a ${builtins.typeOf value}, not an attribute set.";
        }) (pushDown m.config)
      ) collected;
      merged = mergeTree prefix decls defs;
      freeform = merged.config._module.freeformType;
      unmatched = merged.unmatched;
      freeformConfig =
        if unmatched == [ ] then
          { }
        else
          freeform.merge prefix (
            map (u: {
              inherit (u) file;
              value = lib.setAttrByPath u.path u.value;
            }) unmatched
          );
      result = {
        inherit (merged) options;
        config =
          if freeform == null then
            merged.config
          else
            lib.recursiveUpdateUntil (path: _: _: isOption (lib.attrByPath path null merged.options)) freeformConfig merged.config;
      };
      checked =
        if merged.config._module.check && check && freeform == null && unmatched != [ ] then
          throw (unknownOption (head unmatched))
        else
          null;
      unknownOption =
        u:
        let
          full = u.prefix ++ [ (lib.last u.path) ];
          known = filter (n: n != "_module") u.siblings;
        in
        "The option `${showOption full}' does not exist.${errors.didYouMean (lib.last u.path) known} Definition values:${lib.showDefs [ u ]}\nhint: "
        + (
          if known == [ ] then
            "no options are declared here; declare it with `options.${showOption full} = lib.mkOption { … };`"
          else
            "declared here: ${lib.concatStringsSep ", " known}"
        );
    in
    {
      _type = "configuration";
      options = builtins.seq checked result.options;
      config = builtins.seq checked (removeAttrs result.config [ "_module" ]);
      _module = result.config._module;
      inherit class;
      extendModules =
        extra:
        evalModules (
          evalArgs
          // {
            modules = modules ++ extra.modules or [ ];
            specialArgs = specialArgs // extra.specialArgs or { };
            prefix = extra.prefix or prefix;
          }
        );
      type = lib.types.submoduleWith { inherit modules specialArgs class; };
    };
in
{
  inherit evalModules mergeDefinitions defaultOverridePriority defaultOrderPriority;

  mkIf = condition: content: {
    _type = "if";
    inherit condition content;
  };
  mkMerge = contents: {
    _type = "merge";
    inherit contents;
  };
  mkOverride = priority: content: {
    _type = "override";
    inherit priority content;
  };
  mkOptionDefault = lib.mkOverride 1500;
  mkDefault = lib.mkOverride 1000;
  mkImageMediaOverride = lib.mkOverride 60;
  mkForce = lib.mkOverride 50;
  mkVMOverride = lib.mkOverride 10;
  mkOrder = priority: content: {
    _type = "order";
    inherit priority content;
  };
  mkBefore = lib.mkOrder 500;
  mkAfter = lib.mkOrder 1500;
  mkDefinition = args: args // { _type = "definition"; };
  mkAssert =
    assertion: message: content:
    lib.mkIf (if assertion then true else throw "\nFailed assertion: ${message}") content;

  dischargeProperties = v: map (d: d.value) (discharge { file = ""; value = v; });
  pushDownProperties = pushDown;

  setDefaultModuleLocation = file: m: {
    _file = file;
    imports = [ m ];
  };
  importApply =
    path: staticArg:
    lib.setDefaultModuleLocation path (import path staticArg);

  mkAliasDefinitions = lib.mkAliasAndWrapDefinitions lib.id;
  mkAliasOptionModule = lib.mkRenamedOptionModule;
  mkAliasAndWrapDefinitions =
    wrap: option:
    if option.isDefined then wrap (lib.mkMerge option.definitions) else lib.mkIf false null;
  mkRemovedOptionModule =
    path: replacement:
    { options, ... }:
    {
      options = lib.setAttrByPath path (
        lib.mkOption {
          visible = false;
          apply = _: throw "The option `${showOption path}' can no longer be used since it's been removed. ${replacement}";
        }
      );
    };
  mkRenamedOptionModule =
    from: to:
    { config, options, ... }:
    let
      old = lib.getAttrFromPath from options;
    in
    {
      options = lib.setAttrByPath from (
        lib.mkOption {
          visible = false;
          type = lib.types.raw;
          description = "Alias of `${showOption to}`.";
        }
      );
      config = lib.mkIf old.isDefined (lib.setAttrByPath to (lib.mkMerge old.definitions));
    };
}
