# Options: how they are declared and shown.
lib:
let
  inherit (builtins) head isAttrs length;
in
rec {
  isOption = x: isAttrs x && x._type or null == "option";
  mkOption = attrs: attrs // { _type = "option"; };
  mkEnableOption =
    name:
    mkOption {
      default = false;
      example = true;
      description = if isAttrs name && name._type or null == "mdDoc" then name else "Whether to enable ${name}.";
      type = lib.types.bool;
    };
  mkPackageOption =
    pkgs: name: args:
    let
      path = lib.toList (args.default or name);
    in
    mkOption (
      {
        type = (if args.nullable or false then lib.types.nullOr else lib.id) lib.types.package;
        description = "The ${if builtins.isList name then lib.last name else name} package to use.";
      }
      // (if args ? default && args.default == null then { } else { default = lib.getAttrFromPath path pkgs; })
    );
  mkSinkUndeclaredOptions =
    attrs:
    mkOption (
      {
        internal = true;
        visible = false;
        default = false;
        type = lib.types.raw;
        apply = x: throw "option value is not readable because the option is not declared";
      }
      // attrs
    );
  literalExpression = text: {
    _type = "literalExpression";
    inherit text;
  };
  literalExample = literalExpression;
  literalMD = text: {
    _type = "literalMD";
    inherit text;
  };
  mdDoc = x: x;

  showOption = path: lib.concatMapStringsSep "." showPart path;
  # Placeholders such as `<name>` and `*` are shown as they are.
  showPart =
    part:
    if builtins.match "<.*>|\\*" part != null then part else lib.strings.escapeNixIdentifier part;
  showFiles = files: lib.concatMapStringsSep " and " (f: "`${toString f}'") files;
  showDefs = lib.concatMapStrings (
    def:
    let
      shown = builtins.tryEval (
        let
          text = lib.generators.toPretty { } (cut 4 def.value);
        in
        builtins.seq text text
      );
      text = if shown.success then shown.value else "<a value that cannot be shown>";
      short = if builtins.stringLength text > 200 then builtins.substring 0 200 text + "…" else text;
    in
    "\n- In `${toString def.file}': ${short}"
  );
  # A value down to some depth: what is shown may be large or contain itself.
  cut =
    depth: v:
    if isAttrs v && !(lib.isStringLike v) && !(lib.isFunction v) then
      if depth == 0 then "…" else builtins.mapAttrs (_: cut (depth - 1)) v
    else if builtins.isList v then
      if depth == 0 then "…" else map (cut (depth - 1)) v
    else
      v;
  getValues = map (def: def.value);
  getFiles = map (def: def.file);

  # Merging definitions without a type.
  mergeOneOption = mergeUniqueOption { message = ""; };
  mergeUniqueOption =
    args: loc: defs:
    if length defs == 1 then
      (head defs).value
    else
      throw "The option `${showOption loc}' is defined ${toString (length defs)} times; it takes one definition.${
        if args.message or "" == "" then "" else " ${args.message}"
      } Definition values:${showDefs defs}";
  mergeEqualOption =
    loc: defs:
    if length defs == 1 then
      (head defs).value
    else
      builtins.foldl' (
        first: def:
        if def.value == first then
          first
        else
          throw "The option `${showOption loc}' has conflicting definition values:${showDefs defs}\nhint: use `lib.mkForce value` or `lib.mkDefault value` to say which one counts"
      ) (head defs).value (builtins.tail defs);
  mergeDefaultOption =
    loc: defs:
    let
      values = getValues defs;
      first = head values;
    in
    if length values == 1 then
      first
    else if builtins.all builtins.isFunction values then
      x: mergeDefaultOption loc (map (f: { file = ""; value = f x; }) values)
    else if builtins.all builtins.isList values then
      builtins.concatLists values
    else if builtins.all isAttrs values then
      builtins.foldl' (a: b: a // b) { } values
    else if builtins.all builtins.isBool values then
      builtins.any lib.id values
    else if builtins.all builtins.isString values then
      lib.concatStrings values
    else
      mergeEqualOption loc defs;
}
