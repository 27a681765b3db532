# Option types: what may be given, and how several definitions become one value.
lib:
let
  inherit (builtins)
    all
    attrNames
    concatLists
    concatMap
    elem
    filter
    head
    isAttrs
    isList
    isString
    length
    mapAttrs
    tail
    zipAttrsWith
    ;
  inherit (lib) mergeEqualOption mergeOneOption showOption;

  mkOptionType =
    t@{ name, ... }:
    let
      self = {
        _type = "option-type";
        inherit name;
        description = t.description or name;
        descriptionClass = null;
        check = _: true;
        merge = lib.mergeDefaultOption;
        emptyValue = { };
        getSubOptions = _: { };
        getSubModules = null;
        substSubModules = _: null;
        nestedTypes = { };
        deprecationMessage = null;
        functor = {
          inherit name;
          type = self;
          payload = null;
        };
        typeMerge = other: if other.name == self.functor.name && self.functor.payload or null == null then self else null;
      }
      // t;
    in
    self;

  # A type around one other type: it merges with its like when the inner types merge.
  wrapping =
    make: elem: t:
    let
      self = mkOptionType (
        {
          getSubOptions = prefix: elem.getSubOptions prefix;
          getSubModules = elem.getSubModules;
          substSubModules = modules: make (elem.substSubModules modules);
          nestedTypes.elemType = elem;
          functor = {
            inherit (t) name;
            type = make;
            payload = { elemType = elem; };
            wrapped = elem;
          };
          typeMerge =
            other:
            if other.name != t.name then
              null
            else
              let
                inner = elem.typeMerge (other.payload.elemType or other.wrapped).functor;
              in
              if inner == null then null else make inner;
        }
        // t
      );
    in
    self;

  simple =
    name: description: check:
    mkOptionType {
      inherit name description check;
      merge = mergeEqualOption;
    };

  ints =
    let
      between =
        low: high:
        simple "intBetween" "integer between ${toString low} and ${toString high} (both inclusive)" (
          x: builtins.isInt x && x >= low && x <= high
        );
    in
    {
      inherit between;
      positive = simple "positiveInt" "positive integer, meaning >0" (x: builtins.isInt x && x > 0);
      unsigned = simple "unsignedInt" "unsigned integer, meaning >=0" (x: builtins.isInt x && x >= 0);
      u8 = between 0 255;
      u16 = between 0 65535;
      u32 = between 0 4294967295;
      s8 = between (-128) 127;
      s16 = between (-32768) 32767;
      s32 = between (-2147483648) 2147483647;
    };

  # Only for definitions: the value at `loc` from `defs`, or nothing.
  optionalValue = loc: type: defs: (lib.mergeDefinitions loc type defs).optionalValue;

  attrsWith =
    lazy: elem:
    let
      name = if lazy then "lazyAttrsOf" else "attrsOf";
    in
    wrapping (attrsWith lazy) elem {
      inherit name;
      description = "${if lazy then "lazy " else ""}attribute set of ${elem.description}";
      check = isAttrs;
      emptyValue.value = { };
      getSubOptions = prefix: elem.getSubOptions (prefix ++ [ "<name>" ]);
      merge =
        loc: defs:
        let
          byName = zipAttrsWith (_: values: values) (
            map (d: mapAttrs (_: value: { inherit (d) file; inherit value; }) d.value) defs
          );
          each = name: ds: lib.mergeDefinitions (loc ++ [ name ]) elem ds;
        in
        if lazy then
          mapAttrs (
            name: ds:
            let
              m = each name ds;
            in
            m.optionalValue.value or elem.emptyValue.value or m.mergedValue
          ) byName
        else
          mapAttrs (_: m: m.mergedValue) (lib.filterAttrs (_: m: m.isDefined) (mapAttrs each byName));
    };

  # Any value; several definitions are merged by what they are.
  anything = mkOptionType {
    name = "anything";
    description = "anything";
    merge =
      loc: defs:
      let
        kind =
          v:
          if isAttrs v then
            if lib.isStringLike v then "stringLike" else "set"
          else if builtins.isFunction v then
            "lambda"
          else
            "other";
        kinds = lib.unique (map (d: kind d.value) defs);
        only = head kinds;
      in
      if tail kinds != [ ] then
        mergeEqualOption loc defs
      else if only == "set" then
        (attrsWith false anything).merge loc defs
      else if only == "lambda" then
        if length defs == 1 then
          (head defs).value
        else
          x: anything.merge (loc ++ [ "<function body>" ]) (map (d: { inherit (d) file; value = d.value x; }) defs)
      else if only == "stringLike" then
        mergeOneOption loc defs
      else
        mergeEqualOption loc defs;
  };

  submoduleWith =
    args@{
      modules,
      specialArgs ? { },
      shorthandOnlyDefinesConfig ? false,
      description ? null,
      class ? null,
    }:
    let
      toModules =
        defs:
        map (
          { file, value }:
          if isAttrs value && shorthandOnlyDefinesConfig == true then
            {
              _file = file;
              config = value;
            }
          else if builtins.isPath value || isString value then
            {
              _file = toString value;
              imports = [ value ];
            }
          else
            {
              _file = file;
              imports = [ value ];
            }
        ) defs;
      evaluate =
        loc: defs:
        lib.evalModules {
          inherit class;
          specialArgs = specialArgs;
          prefix = loc;
          modules =
            modules
            ++ [ { _module.args.name = if loc == [ ] then lib.mkOptionDefault "‹name›" else lib.last loc; } ]
            ++ toModules defs;
        };
      freeform = (evaluate [ ] [ ])._module.freeformType;
    in
    mkOptionType {
      name = "submodule";
      description = if description != null then description else "submodule";
      check = x: isAttrs x || lib.isFunction x || builtins.isPath x || (isString x && builtins.substring 0 1 x == "/");
      merge = loc: defs: (evaluate loc defs).config;
      emptyValue.value = { };
      getSubOptions =
        prefix:
        let
          docs = lib.evalModules {
            inherit class modules;
            specialArgs = specialArgs // { name = "‹name›"; };
            inherit prefix;
          };
        in
        docs.options;
      getSubModules = modules;
      substSubModules = m: submoduleWith (args // { modules = m; });
      nestedTypes = if freeform != null then { freeformType = freeform; } else { };
      functor = {
        name = "submodule";
        type = submoduleWith;
        payload = {
          inherit modules specialArgs shorthandOnlyDefinesConfig description class;
        };
      };
      typeMerge =
        other:
        if other.name != "submodule" then
          null
        else
          let
            o = other.payload;
            pick =
              name: a: b:
              if a == b || b == null then
                a
              else if a == null then
                b
              else
                throw "A submodule option is declared multiple times with conflicting `${name}' values";
          in
          submoduleWith {
            modules = modules ++ o.modules;
            specialArgs = specialArgs // o.specialArgs;
            shorthandOnlyDefinesConfig = pick "shorthandOnlyDefinesConfig" shorthandOnlyDefinesConfig (
              o.shorthandOnlyDefinesConfig or null
            );
            description = pick "description" description (o.description or null);
            class = pick "class" class (o.class or null);
          };
    };

  coercedTo =
    from: coerce: to:
    mkOptionType {
      name = "coercedTo";
      description = "${to.description} or ${from.description} convertible to it";
      check = x: (from.check x && to.check (coerce x)) || to.check x;
      merge =
        loc: defs:
        to.merge loc (
          map (d: d // { value = if from.check d.value then coerce d.value else d.value; }) defs
        );
      inherit (to) emptyValue getSubOptions getSubModules;
      substSubModules = m: coercedTo from coerce (to.substSubModules m);
      nestedTypes = {
        coercedType = from;
        finalType = to;
      };
      functor = {
        name = "coercedTo";
        type = null;
        payload = "coercedTo";
      };
      typeMerge = _: null;
    };

  either =
    a: b:
    mkOptionType {
      name = "either";
      description = "${a.description} or ${b.description}";
      check = x: a.check x || b.check x;
      merge =
        loc: defs:
        if all (d: a.check d.value) defs then
          a.merge loc defs
        else if all (d: b.check d.value) defs then
          b.merge loc defs
        else
          mergeOneOption loc defs;
      nestedTypes = {
        left = a;
        right = b;
      };
      functor = {
        name = "either";
        type = null;
        payload = { inherit a b; };
      };
      typeMerge =
        other:
        if other.name != "either" then
          null
        else
          let
            a' = a.typeMerge other.payload.a.functor;
            b' = b.typeMerge other.payload.b.functor;
          in
          if a' == null || b' == null then null else either a' b';
    };

  enum =
    values:
    mkOptionType {
      name = "enum";
      description = "one of ${lib.concatMapStringsSep ", " (lib.generators.toPretty { }) values}";
      check = x: elem x values;
      merge = mergeEqualOption;
      functor = {
        name = "enum";
        type = enum;
        payload = { inherit values; };
      };
      typeMerge =
        other: if other.name != "enum" then null else enum (lib.unique (values ++ other.payload.values or other.payload));
    };

  nullOr =
    elem:
    wrapping nullOr elem {
      name = "nullOr";
      description = "null or ${elem.description}";
      check = x: x == null || elem.check x;
      emptyValue.value = null;
      merge =
        loc: defs:
        let
          nulls = filter (d: d.value == null) defs;
        in
        if nulls == [ ] then
          elem.merge loc defs
        else if length nulls == length defs then
          null
        else
          throw "The option `${showOption loc}' is defined both null and not null. Definition values:${lib.showDefs defs}";
    };

  listOf =
    elem:
    wrapping listOf elem {
      name = "listOf";
      description = "list of ${elem.description}";
      check = isList;
      emptyValue.value = [ ];
      getSubOptions = prefix: elem.getSubOptions (prefix ++ [ "*" ]);
      merge =
        loc: defs:
        let
          ofDef =
            n: def:
            lib.imap1 (
              m: value:
              optionalValue (loc ++ [ "[definition ${toString n}-entry ${toString m}]" ]) elem [
                {
                  inherit (def) file;
                  inherit value;
                }
              ]
            ) def.value;
        in
        map (x: x.value) (filter (x: x ? value) (concatLists (lib.imap1 ofDef defs)));
    };

  types = {
    inherit
      anything
      coercedTo
      either
      enum
      ints
      listOf
      mkOptionType
      nullOr
      submoduleWith
      ;
    isType = name: x: x._type or null == name;
    isOptionType = x: x._type or null == "option-type";
    setType = name: x: x // { _type = name; };

    raw = mkOptionType {
      name = "raw";
      description = "raw value";
      merge = mergeOneOption;
    };
    unspecified = mkOptionType {
      name = "unspecified";
      description = "unspecified value";
    };
    bool = simple "bool" "boolean" builtins.isBool;
    boolByOr = mkOptionType {
      name = "boolByOr";
      description = "boolean (merged using or)";
      check = builtins.isBool;
      merge = _: defs: builtins.any (d: d.value) defs;
    };
    int = simple "int" "signed integer" builtins.isInt;
    float = simple "float" "floating point number" builtins.isFloat;
    number = types.either types.int types.float;
    numbers = {
      between =
        low: high:
        simple "numberBetween" "number between ${toString low} and ${toString high}" (
          x: (builtins.isInt x || builtins.isFloat x) && x >= low && x <= high
        );
      positive = simple "numberPositive" "positive number" (x: (builtins.isInt x || builtins.isFloat x) && x > 0);
      nonnegative = simple "numberNonnegative" "nonnegative number" (x: (builtins.isInt x || builtins.isFloat x) && x >= 0);
    };
    port = ints.u16;
    str = simple "str" "string" isString;
    nonEmptyStr = simple "nonEmptyStr" "non-empty string" (
      x: isString x && builtins.match "[ \t\n]*" x == null
    );
    singleLineStr = simple "singleLineStr" "(optionally newline-terminated) single-line string" (
      x: isString x && builtins.match "[^\n\r]*\n?" x != null
    );
    strMatching = pattern: simple "strMatching" "string matching the pattern ${pattern}" (x: isString x && builtins.match pattern x != null);
    passwdEntry = type: type // { description = "${type.description}, not containing newlines or colons"; check = x: type.check x && builtins.match ".*[\n:].*" x == null; };
    separatedString =
      separator:
      mkOptionType {
        name = "separatedString";
        description = "strings concatenated with ${builtins.toJSON separator}";
        check = isString;
        merge = _: defs: lib.concatStringsSep separator (map (d: d.value) defs);
        functor = {
          name = "separatedString";
          type = types.separatedString;
          payload = { sep = separator; };
        };
        typeMerge = other: if other.name == "separatedString" && (other.payload.sep or null) == separator then types.separatedString separator else null;
      };
    lines = types.separatedString "\n";
    commas = types.separatedString ",";
    envVar = types.separatedString ":";
    string = types.separatedString "";
    path = mkOptionType {
      name = "path";
      description = "absolute path";
      check = x: lib.isStringLike x && builtins.substring 0 1 (toString x) == "/";
      merge = mergeEqualOption;
    };
    pathInStore = simple "pathInStore" "path in the Nix store" lib.isStorePath;
    package = mkOptionType {
      name = "package";
      description = "package";
      check = x: lib.isDerivation x || lib.isStorePath x;
      merge =
        loc: defs:
        let
          value = mergeOneOption loc defs;
        in
        if builtins.isPath value || (isString value && !(builtins.hasContext value)) then lib.toDerivation value else value;
    };
    shellPackage = types.package;
    pkgs = simple "pkgs" "Nixpkgs package set" (x: x._type or null == "pkgs");
    attrs = mkOptionType {
      name = "attrs";
      description = "attribute set";
      check = isAttrs;
      emptyValue.value = { };
      merge = _: defs: builtins.foldl' (a: d: a // d.value) { } defs;
    };
    attrsOf = attrsWith false;
    lazyAttrsOf = attrsWith true;
    attrsWith =
      {
        elemType,
        lazy ? false,
        placeholder ? "name",
      }:
      attrsWith lazy elemType;
    nonEmptyListOf = elem: (listOf elem) // { description = "non-empty list of ${elem.description}"; check = x: isList x && x != [ ]; emptyValue = { }; };
    uniq = types.unique { message = ""; };
    unique =
      args: type:
      mkOptionType {
        name = "unique";
        inherit (type) description check emptyValue getSubOptions getSubModules;
        merge = loc: defs: if length defs == 1 then type.merge loc defs else lib.mergeUniqueOption args loc defs;
      };
    oneOf =
      ts:
      if ts == [ ] then throw "types.oneOf takes at least one type" else lib.foldr either (lib.last ts) (lib.init ts);
    addCheck = type: check: type // { check = x: type.check x && check x; };
    functionTo =
      elem:
      wrapping types.functionTo elem {
        name = "functionTo";
        description = "function that evaluates to a(n) ${elem.description}";
        check = lib.isFunction;
        merge =
          loc: defs: x:
          (lib.mergeDefinitions (loc ++ [ "<function body>" ]) elem (
            map (d: {
              inherit (d) file;
              value = d.value x;
            }) defs
          )).mergedValue;
      };
    submodule =
      modules:
      submoduleWith {
        shorthandOnlyDefinesConfig = true;
        modules = lib.toList modules;
      };
    deferredModule = types.deferredModuleWith { };
    deferredModuleWith =
      {
        staticModules ? [ ],
      }:
      mkOptionType {
        name = "deferredModule";
        description = "module";
        check = x: isAttrs x || lib.isFunction x || builtins.isPath x || isString x;
        merge = loc: defs: {
          imports =
            staticModules
            ++ map (d: {
              _file = "${toString d.file}, via option ${showOption loc}";
              imports = [ d.value ];
            }) defs;
        };
        emptyValue.value = { };
        getSubOptions = prefix: (lib.evalModules { modules = staticModules; inherit prefix; }).options;
        getSubModules = staticModules;
      };
    optionType = mkOptionType {
      name = "optionType";
      description = "optionType";
      check = x: x._type or null == "option-type";
      merge = mergeOneOption;
    };
    optionDeclaration = mkOptionType {
      name = "optionDeclaration";
      description = "option declaration";
      check = x: x._type or null == "option";
      merge = mergeOneOption;
    };
    defaultTypeMerge = f: other: if f.name == other.name then f.type else null;
  };
in
types
