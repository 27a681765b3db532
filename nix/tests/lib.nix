# Plain functions of `lib`: what they give is the same in minilib and in nixpkgs' lib, as this file runs on both.
{
  freehold,
  harness,
  lib,
  onMinilib,
}:
let
  is = expr: expected: { inherit expr expected; };
in
{
  "attribute sets" = is [
    (lib.mapAttrs' (n: v: lib.nameValuePair "x${n}" (v + 1)) { a = 1; })
    (lib.filterAttrs (_: v: v > 1) {
      a = 1;
      b = 2;
    })
    (lib.genAttrs [ "a" "b" ] (n: n + n))
    (lib.optionalAttrs false { a = 1; })
    (lib.recursiveUpdate { a.b = 1; a.c = 2; } { a.b = 3; })
    (lib.mapAttrsToList (n: v: "${n}${v}") { a = "1"; b = "2"; })
    (lib.attrByPath [ "a" "b" ] 0 { a.b = 1; })
    (lib.attrByPath [ "a" "c" ] 0 { a.b = 1; })
    (lib.hasAttrByPath [ "a" "b" ] { a.b = 1; })
    (lib.setAttrByPath [ "a" "b" ] 1)
    (lib.getAttrFromPath [ "a" "b" ] { a.b = 1; })
    (lib.mapAttrsRecursive (path: v: lib.concatStringsSep "." path + v) { a.b = "1"; })
    (lib.collect builtins.isInt { a.b = 1; c = 2; d = "x"; })
    (lib.foldlAttrs (acc: n: v: acc + n + v) "" { a = "1"; b = "2"; })
    (lib.zipAttrs [ { a = 1; } { a = 2; } ])
    (lib.attrsToList { a = 1; })
    (lib.concatMapAttrs (n: v: { ${n} = v; ${n + n} = v; }) { a = 1; })
    (lib.mergeAttrsList [ { a = 1; } { b = 2; } ])
    (lib.cartesianProduct { a = [ 1 2 ]; b = [ 3 ]; })
    (lib.getAttrs [ "a" ] { a = 1; b = 2; })
    (lib.filterAttrsRecursive (n: _: n != "x") { a.x = 1; a.y = 2; x = 3; })
    (lib.matchAttrs { a.b = 1; } { a.b = 1; c = 2; })
    (lib.overrideExisting { a = 1; } { a = 2; b = 3; })
    (lib.isDerivation { type = "derivation"; })
  ] [
    { xa = 2; }
    { b = 2; }
    { a = "aa"; b = "bb"; }
    { }
    { a = { b = 3; c = 2; }; }
    [ "a1" "b2" ]
    1
    0
    true
    { a.b = 1; }
    1
    { a.b = "a.b1"; }
    [ 1 2 ]
    "a1b2"
    { a = [ 1 2 ]; }
    [ { name = "a"; value = 1; } ]
    { a = 1; aa = 1; }
    { a = 1; b = 2; }
    [ { a = 1; b = 3; } { a = 2; b = 3; } ]
    { a = 1; }
    { a.y = 2; }
    true
    { a = 2; }
    true
  ];

  "lists" = is [
    (lib.optional true 1)
    (lib.optionals false [ 1 ])
    (lib.flatten [ 1 [ 2 [ 3 ] ] ])
    (lib.unique [ 1 2 1 ])
    (lib.range 1 3)
    (lib.range 3 1)
    (lib.reverseList [ 1 2 ])
    (lib.last [ 1 2 ])
    (lib.init [ 1 2 ])
    (lib.take 1 [ 1 2 ])
    (lib.drop 1 [ 1 2 ])
    (lib.sublist 1 5 [ 1 2 3 ])
    (lib.imap0 (i: x: i + x) [ 1 1 ])
    (lib.imap1 (i: x: i + x) [ 1 1 ])
    (lib.foldr (x: acc: "${x}${acc}") "" [ "a" "b" ])
    (lib.foldl (acc: x: "${acc}${x}") "" [ "a" "b" ])
    (lib.findFirst (x: x > 1) 0 [ 1 2 3 ])
    (lib.findFirst (x: x > 9) 0 [ 1 2 3 ])
    (lib.subtractLists [ 1 ] [ 1 2 ])
    (lib.intersectLists [ 1 2 ] [ 2 3 ])
    (lib.zipLists [ 1 2 ] [ 3 4 ])
    (lib.toList 1)
    (lib.count (x: x == 1) [ 1 1 2 ])
    (lib.partition (x: x > 1) [ 1 2 ])
    (lib.sortOn (x: -x) [ 1 2 ])
    (lib.naturalSort [ "a10" "a9" ])
    (lib.allUnique [ 1 1 ])
    (lib.lists.hasPrefix [ 1 ] [ 1 2 ])
    (lib.replicate 2 "x")
    (lib.compareLists lib.compare [ 1 2 ] [ 1 3 ])
    (lib.groupBy' builtins.add 0 (x: if x > 1 then "big" else "small") [ 1 2 3 ])
  ] [
    [ 1 ]
    [ ]
    [ 1 2 3 ]
    [ 1 2 ]
    [ 1 2 3 ]
    [ ]
    [ 2 1 ]
    2
    [ 1 ]
    [ 1 ]
    [ 2 ]
    [ 2 3 ]
    [ 1 2 ]
    [ 2 3 ]
    "ab"
    "ab"
    2
    0
    [ 2 ]
    [ 2 ]
    [ { fst = 1; snd = 3; } { fst = 2; snd = 4; } ]
    [ 1 ]
    2
    { right = [ 2 ]; wrong = [ 1 ]; }
    [ 2 1 ]
    [ "a9" "a10" ]
    false
    true
    [ "x" "x" ]
    (-1)
    { big = 5; small = 1; }
  ];

  "strings" = is [
    (lib.concatMapStringsSep "," (x: x + x) [ "a" "b" ])
    (lib.concatImapStringsSep "," (i: x: "${toString i}${x}") [ "a" "b" ])
    (lib.optionalString false "x")
    (lib.hasPrefix "a" "ab")
    (lib.hasSuffix "b" "ab")
    (lib.hasSuffix "abc" "c")
    (lib.hasInfix "b.c" "ab.cd")
    (lib.hasInfix "b.c" "abxcd")
    (lib.removePrefix "a" "ab")
    (lib.removeSuffix "b" "ab")
    (lib.splitString "." "a.b.c")
    (lib.splitString "\n" "a\nb\n")
    (lib.toUpper "aß")
    (lib.toLower "AB")
    (lib.escapeShellArg "it's")
    (lib.escapeShellArg "plain-1")
    (lib.escapeShellArgs [ "a" "b c" ])
    (lib.escapeRegex "a.b")
    (lib.escapeXML "<a & \"b\">")
    (lib.fixedWidthString 4 "0" "7")
    (lib.fixedWidthNumber 3 7)
    (lib.toInt "42")
    (lib.toIntBase10 "042")
    (lib.toInt "-7")
    (lib.versionOlder "1.2" "1.10")
    (lib.versionAtLeast "1.10" "1.2")
    (lib.getName "hello-1.2")
    (lib.getVersion "hello-1.2")
    (lib.makeBinPath [ "/a" "/b" ])
    (lib.concatLines [ "a" "b" ])
    (lib.stringToCharacters "ab")
    (lib.strings.trim " a b\n")
    (lib.strings.escapeNixIdentifier "a b")
    (lib.strings.escapeNixString "a\"\${b}")
    (lib.boolToString true)
    (lib.strings.levenshtein "kitten" "sitting")
    (lib.strings.replicate 2 "ab")
    (lib.escapeURL "a b/ü")
    (lib.strings.sanitizeDerivationName "..a b")
    (lib.intersperse "," [ "a" "b" ])
    (lib.strings.normalizePath "/a//b")
  ] [
    "aa,bb"
    "1a,2b"
    ""
    true
    true
    false
    true
    false
    "b"
    "a"
    [ "a" "b" "c" ]
    [ "a" "b" "" ]
    "Aß"
    "ab"
    "'it'\\''s'"
    "plain-1"
    "a 'b c'"
    "a\\.b"
    "&lt;a &amp; &quot;b&quot;&gt;"
    "0007"
    "007"
    42
    42
    (-7)
    true
    true
    "hello"
    "1.2"
    "/a/bin:/b/bin"
    "a\nb\n"
    [ "a" "b" ]
    "a b"
    "\"a b\""
    "\"a\\\"\\\${b}\""
    "true"
    3
    "abab"
    "a%20b%2Fü"
    "a-b"
    [ "a" "," "b" ]
    "/a/b"
  ];

  "values in general" = is [
    (lib.pipe 1 [ (x: x + 1) (x: x * 2) ])
    (lib.flip (a: b: a - b) 1 3)
    (lib.fix (self: { a = 1; b = self.a; }))
    ((lib.fix (lib.extends (_: prev: { a = prev.a + 1; }) (self: { a = 1; b = self.a; }))).b)
    (lib.functionArgs (lib.setFunctionArgs (x: x) { a = true; }))
    (lib.isFunction (lib.setFunctionArgs (x: x) { }))
    (lib.toFunction 1 2)
    (lib.max 1 2)
    (lib.mod 7 3)
    (lib.defaultTo 1 null)
    (lib.mapNullable (x: x + 1) null)
    (lib.throwIf false "x" 1)
    (lib.generators.toKeyValue { } { a = 1; b = true; })
    (lib.generators.toINI { } { s.a = 1; })
    (lib.importJSON ./fixtures/value.json)
  ] [
    4
    2
    { a = 1; b = 1; }
    2
    { a = true; }
    true
    1
    2
    1
    1
    null
    1
    "a=1\nb=true\n"
    "[s]\na=1\n"
    { a = [ 1 ]; }
  ];

  "nothing that nixpkgs' lib offers is silently missing" = {
    # On nixpkgs' lib: every name is in minilib too, be it as a throw that says what to do.
    expr =
      let
        mini = import ../minilib;
        absent = builtins.removeAttrs lib (builtins.attrNames mini);
      in
      if onMinilib then [ ] else builtins.attrNames absent;
    expected = [ ];
  };
  "a name that is missing throws" = if onMinilib then { throws = lib.fileset; } else is 1 1;
}
