# Pieces of error messages. Nothing here is evaluated unless something is wrong.
let
  distance = import ./edit-distance.nix;
  inherit (builtins)
    concatStringsSep
    filter
    foldl'
    head
    map
    sort
    stringLength
    ;
in
rec {
  # The names nearest to `name`, best first; none that is far off.
  nearest =
    name: names:
    let
      limit = if stringLength name < 4 then 1 else if stringLength name < 8 then 2 else 3;
      scored = map (n: { inherit n; d = distance name n; }) names;
    in
    map (s: s.n) (sort (a: b: a.d < b.d) (filter (s: s.d <= limit) scored));

  # " Did you mean `x`?" or nothing.
  didYouMean =
    name: names:
    let
      near = nearest name names;
    in
    if near == [ ] then "" else " Did you mean `${head near}`?";

  # "`a`, `b`, `c`", in order.
  listed = names: if names == [ ] then "none" else concatStringsSep ", " (map (n: "`${n}`") names);

  # An option path as it is written in Nix: names that need quotes get them.
  showPath =
    path:
    concatStringsSep "." (
      map (p: if builtins.match "[a-zA-Z_][a-zA-Z0-9_'-]*" p != null then p else builtins.toJSON p) path
    );

  # `members.a.members.b` for the member path [ "a" "b" ].
  showMember = path: concatStringsSep "." (map (p: "members.${showPath [ p ]}") path);

  # Where an attribute of a set was written, as a line of a message; nothing when Nix does not know.
  writtenAt =
    name: set:
    let
      pos = builtins.unsafeGetAttrPos name set;
    in
    if pos == null then
      ""
    else
      "\nnote: written at ${pos.file}:${toString pos.line}:${toString pos.column}";

  # The same for the first of several definitions that has the attribute.
  definedAt =
    name: defs:
    let
      found = filter (d: builtins.isAttrs d.value && d.value ? ${name}) defs;
    in
    if found == [ ] then "" else writtenAt name (head found).value;
}
