# Functions about values in general: identity, composition, numbers, warnings, versions.
lib:
let
  inherit (builtins)
    bitAnd
    functionArgs
    hasAttr
    isAttrs
    isFunction
    length
    pathExists
    readFile
    trace
    ;
in
rec {
  inherit (builtins)
    add
    addErrorContext
    bitAnd
    bitOr
    bitXor
    ceil
    deepSeq
    div
    floor
    genericClosure
    isBool
    isFloat
    isInt
    isPath
    lessThan
    mul
    pathExists
    readFile
    readDir
    seq
    sub
    ;

  id = x: x;
  const = x: _: x;
  flip =
    f: a: b:
    f b a;
  pipe = builtins.foldl' (x: f: f x);
  concat = x: y: x ++ y;
  or = x: y: x || y;
  and = x: y: x && y;
  xor = x: y: x != y;
  boolToString = b: if b then "true" else "false";
  mergeAttrs = x: y: x // y;
  defaultTo = default: value: if value == null then default else value;
  mapNullable = f: x: if x == null then x else f x;

  min = x: y: if x < y then x else y;
  max = x: y: if x > y then x else y;
  mod = base: int: base - (int * (base / int));
  compare =
    a: b:
    if a < b then
      -1
    else if a > b then
      1
    else
      0;

  importJSON = path: builtins.fromJSON (readFile path);
  importTOML = path: builtins.fromTOML (readFile path);

  # A function, or a set that can be called.
  isFunction = f: builtins.isFunction f || (isAttrs f && f ? __functor && builtins.isFunction (f.__functor f));
  functionArgs =
    f: if isAttrs f && f ? __functor then f.__functionArgs or (functionArgs (f.__functor f)) else builtins.functionArgs f;
  setFunctionArgs = f: args: {
    __functor = _: f;
    __functionArgs = args;
  };
  toFunction = v: if lib.isFunction v then v else _: v;
  mirrorFunctionArgs =
    f:
    let
      args = lib.functionArgs f;
    in
    g: setFunctionArgs g args;

  warn = message: trace "warning: ${message}";
  warnIf = condition: message: if condition then warn message else id;
  warnIfNot = condition: warnIf (!condition);
  info = message: trace "info: ${message}";
  showWarnings = warnings: x: builtins.foldl' (acc: w: warn w acc) x warnings;
  throwIf = condition: message: if condition then throw message else id;
  throwIfNot = condition: throwIf (!condition);
  checkListOfEnum =
    message: valid: given:
    throwIf (
      lib.subtractLists valid given != [ ]
    ) "${message}: ${lib.concatStringsSep ", " (lib.subtractLists valid given)} unexpected; valid are ${lib.concatStringsSep ", " valid}";
  assertMsg = condition: message: condition || throw message;
  assertOneOf =
    name: value: values:
    assertMsg (builtins.elem value values) "${name} must be one of ${lib.generators.toPretty { } values}, but is ${
      lib.generators.toPretty { } value
    }";
  asserts = { inherit assertMsg assertOneOf; };

  fix =
    f:
    let
      x = f x;
    in
    x;
  fix' =
    f:
    let
      x = f x // {
        __unfix__ = f;
      };
    in
    x;
  converge =
    f: x:
    let
      next = f x;
    in
    if next == x then x else converge f next;
  makeExtensible = f: fix (self: f self // { extend = overlay: makeExtensible (extends overlay f); });
  extends =
    overlay: f: final:
    let
      previous = f final;
    in
    previous // overlay final previous;
  composeExtensions =
    f: g: final: previous:
    let
      first = f final previous;
    in
    first // g final (previous // first);
  composeManyExtensions = lib.foldr composeExtensions (_: _: { });

  inNixShell = builtins.getEnv "IN_NIX_SHELL" != "";
  inPureEvalMode = !(builtins ? currentSystem);

  # Values as readable Nix text.
  generators = {
    toJSON = _: builtins.toJSON;
    toPretty =
      _: value:
      if builtins.isString value then
        lib.escapeNixString value
      else if value == null then
        "null"
      else if builtins.isBool value then
        boolToString value
      else if builtins.isInt value || builtins.isFloat value then
        toString value
      else if builtins.isPath value then
        toString value
      else if builtins.isList value then
        if value == [ ] then "[ ]" else "[ ${lib.concatMapStringsSep " " (generators.toPretty { }) value} ]"
      else if lib.isFunction value then
        "<function>"
      else if lib.isDerivation value then
        "<derivation ${value.name or "?"}>"
      else if value == { } then
        "{ }"
      else
        "{ ${
          lib.concatStringsSep " " (
            lib.mapAttrsToList (n: v: "${lib.strings.escapeNixIdentifier n} = ${generators.toPretty { } v};") value
          )
        } }";
    mkKeyValueDefault =
      _: separator: name: value:
      "${name}${separator}${
        if builtins.isBool value then
          boolToString value
        else if value == null then
          "null"
        else
          toString value
      }";
    toKeyValue =
      {
        mkKeyValue ? generators.mkKeyValueDefault { } "=",
        ...
      }:
      set: lib.concatStrings (lib.mapAttrsToList (n: v: "${mkKeyValue n v}\n") set);
    toINI =
      {
        mkKeyValue ? generators.mkKeyValueDefault { } "=",
        ...
      }:
      set:
      lib.concatStringsSep "\n" (
        lib.mapAttrsToList (name: section: "[${name}]\n${generators.toKeyValue { inherit mkKeyValue; } section}") set
      );
    toYAML = _: builtins.toJSON;
  };
}
