# Functions about strings and paths as strings.
lib:
let
  inherit (builtins)
    concatStringsSep
    elem
    filter
    genList
    isString
    match
    replaceStrings
    split
    stringLength
    substring
    ;
  lowerChars = stringToCharacters "abcdefghijklmnopqrstuvwxyz";
  upperChars = stringToCharacters "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
  stringToCharacters = s: genList (i: substring i 1 s) (stringLength s);
in
rec {
  inherit lowerChars upperChars stringToCharacters;
  inherit (builtins)
    appendContext
    baseNameOf
    compareVersions
    concatStringsSep
    dirOf
    fromJSON
    fromTOML
    getContext
    hasContext
    hashFile
    hashString
    isString
    match
    parseDrvName
    readFile
    replaceStrings
    split
    splitVersion
    storeDir
    stringLength
    substring
    toJSON
    typeOf
    unsafeDiscardStringContext
    ;

  concatStrings = concatStringsSep "";
  concatMapStrings = f: xs: concatStringsSep "" (map f xs);
  concatMapStringsSep =
    separator: f: xs:
    concatStringsSep separator (map f xs);
  concatImapStrings = f: xs: concatStringsSep "" (lib.imap1 f xs);
  concatImapStringsSep =
    separator: f: xs:
    concatStringsSep separator (lib.imap1 f xs);
  concatMapAttrsStringSep =
    separator: f: set:
    concatStringsSep separator (lib.mapAttrsToList f set);
  concatLines = concatMapStrings (line: line + "\n");
  intersperse =
    separator: xs:
    lib.concatLists (lib.imap0 (i: x: if i == 0 then [ x ] else [ separator x ]) xs);
  join = concatStringsSep;
  optionalString = condition: s: if condition then s else "";
  hasPrefix = prefix: s: substring 0 (stringLength prefix) s == prefix;
  hasSuffix =
    suffix: s:
    let
      n = stringLength s - stringLength suffix;
    in
    n >= 0 && substring n (-1) s == suffix;
  hasInfix = infix: s: builtins.length (split (escapeRegex infix) "${s}") > 1;
  removePrefix = prefix: s: if hasPrefix prefix s then substring (stringLength prefix) (-1) s else s;
  removeSuffix = suffix: s: if hasSuffix suffix s then substring 0 (stringLength s - stringLength suffix) s else s;
  splitString = separator: s: filter isString (split (escapeRegex (toString separator)) (toString s));
  toLower = replaceStrings upperChars lowerChars;
  toUpper = replaceStrings lowerChars upperChars;
  toSentenceCase = s: toUpper (substring 0 1 s) + toLower (substring 1 (-1) s);
  toCamelCase =
    s:
    let
      parts = filter (p: isString p && p != "") (split "[-_ ]+" s);
    in
    concatStrings (lib.imap0 (i: p: if i == 0 then p else toUpper (substring 0 1 p) + substring 1 (-1) p) parts);
  trim = trimWith { start = true; end = true; };
  trimWith =
    {
      start ? false,
      end ? false,
    }:
    s:
    let
      left = if start then builtins.elemAt (match "[ \t\r\n]*(.*)" s) 0 else s;
      right = match "(.*[^ \t\r\n])[ \t\r\n]*" left;
    in
    if !end then
      left
    else if right == null then
      ""
    else
      builtins.head right;
  escape = chars: replaceStrings chars (map (c: "\\${c}") chars);
  escapeRegex = escape (stringToCharacters "\\[{()^$?*+|.");
  escapeShellArg =
    arg:
    let
      s = toString arg;
    in
    if match "[[:alnum:],._+:@%/-]+" s == null then "'${replaceStrings [ "'" ] [ "'\\''" ] s}'" else s;
  escapeShellArgs = concatMapStringsSep " " escapeShellArg;
  escapeNixString = s: escape [ "$" ] (builtins.toJSON s);
  isValidPosixName = name: match "[a-zA-Z_][a-zA-Z0-9_]*" name != null;
  toShellVar =
    name: value:
    if builtins.isList value then
      "declare -a ${name}=(${escapeShellArgs value})"
    else if builtins.isAttrs value && !(lib.isDerivation value) then
      "declare -A ${name}=(${
        concatStringsSep " " (lib.mapAttrsToList (n: v: "[${escapeShellArg n}]=${escapeShellArg v}") value)
      })"
    else
      "${name}=${escapeShellArg value}";
  toShellVars = vars: concatStringsSep "\n" (lib.mapAttrsToList toShellVar vars);
  escapeNixIdentifier =
    s:
    if
      match "[a-zA-Z_][a-zA-Z0-9_'-]*" s != null
      && !(elem s [ "assert" "else" "if" "in" "inherit" "let" "or" "rec" "then" "with" ])
    then
      s
    else
      escapeNixString s;
  escapeXML = replaceStrings [ "\"" "'" "<" ">" "&" ] [ "&quot;" "&apos;" "&lt;" "&gt;" "&amp;" ];
  escapeURL =
    let
      unreserved = stringToCharacters "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~";
      ascii = builtins.fromJSON (builtins.readFile ./ascii.json);
      reserved = builtins.removeAttrs ascii unreserved;
      hex = n: builtins.elemAt (stringToCharacters "0123456789ABCDEF") n;
    in
    replaceStrings (builtins.attrNames reserved) (
      map (n: "%${hex (n / 16)}${hex (lib.mod n 16)}") (builtins.attrValues reserved)
    );
  fixedWidthString =
    width: filler: s:
    let
      missing = width - stringLength s;
    in
    assert missing >= 0;
    concatStrings (genList (i: substring (lib.mod i (stringLength filler)) 1 filler) missing) + s;
  fixedWidthNumber = width: n: fixedWidthString width "0" (toString n);
  toInt =
    s:
    let
      m = match "[[:space:]]*(-?)0*([0-9]+)[[:space:]]*" s;
      n = if m == null then null else builtins.fromJSON (builtins.concatStringsSep "" m);
    in
    if n == null then
      throw "toInt: cannot convert `${s}` to an integer"
    else if match "[[:space:]]*-?0[0-9]+[[:space:]]*" s != null then
      throw "toInt: `${s}` may be octal or decimal; use `toIntBase10`"
    else
      n;
  toIntBase10 = s: toInt (builtins.concatStringsSep "" (builtins.filter isString (builtins.split "^[[:space:]]*0+" s)));
  fileContents = file: removeSuffix "\n" (builtins.readFile file);
  readPathsFromFile =
    root: file:
    map (path: root + "/${path}") (filter (l: l != "" && !(hasPrefix "#" l)) (splitString "\n" (builtins.readFile file)));
  versionOlder = a: b: builtins.compareVersions b a == 1;
  versionAtLeast = a: b: !(versionOlder a b);
  getName = x: if isString x then (builtins.parseDrvName x).name else x.pname or (builtins.parseDrvName x.name).name;
  getVersion = x: if isString x then (builtins.parseDrvName x).version else x.version or (builtins.parseDrvName x.name).version;
  nameFromURL = url: separator: builtins.head (splitString separator (lib.last (splitString "/" url)));
  makeSearchPath =
    sub: paths:
    concatStringsSep ":" (map (p: "${p}/${sub}") (filter (p: p != null) paths));
  makeSearchPathOutput = output: sub: pkgs: makeSearchPath sub (map (lib.getOutput output) pkgs);
  makeLibraryPath = makeSearchPathOutput "lib" "lib";
  makeBinPath = makeSearchPathOutput "bin" "bin";
  isStringLike = x: isString x || builtins.isPath x || (builtins.isAttrs x && (x ? outPath || x ? __toString));
  isConvertibleWithToString =
    x:
    isStringLike x
    || x == null
    || builtins.isBool x
    || builtins.isInt x
    || builtins.isFloat x
    || (builtins.isList x && builtins.all isConvertibleWithToString x);
  isCoercibleToString = isConvertibleWithToString;
  isStorePath =
    x:
    isStringLike x && match "${escapeRegex builtins.storeDir}/[0-9a-df-np-sv-z]{32}-[^/]+" (toString x) != null;
  sanitizeDerivationName =
    s:
    let
      clean = concatMapStrings (p: if isString p then p else "-") (split "[^[:alnum:]+._?=-]+" (builtins.unsafeDiscardStringContext s));
      tidy = builtins.head (match "\\.*(.*)" clean);
    in
    if tidy == "" then "unknown" else tidy;
  normalizePath = s: concatStringsSep "/" (filter isString (split "/+" s));
  charToInt = c: (builtins.fromJSON (builtins.readFile ./ascii.json)).${c};
  boolToYesNo = b: if b then "yes" else "no";
  toHexString = n: if n < 16 then substring n 1 "0123456789ABCDEF" else toHexString (n / 16) + toHexString (lib.mod n 16);
  replaceString = from: to: replaceStrings [ from ] [ to ];
  stringAsChars = f: s: concatMapStrings f (stringToCharacters s);
  levenshtein = import ../lib/edit-distance.nix;
}
