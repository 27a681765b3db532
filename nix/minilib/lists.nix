# Functions about lists.
lib:
let
  inherit (builtins)
    elem
    elemAt
    filter
    foldl'
    genList
    head
    length
    tail
    ;
in
rec {
  inherit (builtins)
    all
    any
    concatLists
    concatMap
    elem
    elemAt
    filter
    foldl'
    genList
    groupBy
    head
    isList
    length
    map
    partition
    sort
    tail
    ;

  singleton = x: [ x ];
  toList = x: if builtins.isList x then x else [ x ];
  optional = condition: x: if condition then [ x ] else [ ];
  optionals = condition: xs: if condition then xs else [ ];
  foldr =
    op: nul: xs:
    let
      n = length xs;
      go = i: if i == n then nul else op (elemAt xs i) (go (i + 1));
    in
    go 0;
  fold = foldr;
  foldl =
    op: nul: xs:
    let
      go = i: if i < 0 then nul else op (go (i - 1)) (elemAt xs i);
    in
    go (length xs - 1);
  flatten = x: if builtins.isList x then builtins.concatMap flatten x else [ x ];
  range = first: last: if first > last then [ ] else genList (i: first + i) (last - first + 1);
  replicate = n: x: genList (_: x) n;
  imap0 = f: xs: genList (i: f i (elemAt xs i)) (length xs);
  imap1 = f: xs: genList (i: f (i + 1) (elemAt xs i)) (length xs);
  ifilter0 =
    keep: xs:
    map (i: elemAt xs i) (filter (i: keep i (elemAt xs i)) (genList (i: i) (length xs)));
  reverseList =
    xs:
    let
      n = length xs;
    in
    genList (i: elemAt xs (n - i - 1)) n;
  last = xs: assert xs != [ ]; elemAt xs (length xs - 1);
  init = xs: assert xs != [ ]; take (length xs - 1) xs;
  take = n: sublist 0 n;
  drop = n: xs: sublist n (length xs) xs;
  takeEnd = n: xs: drop (lib.max 0 (length xs - n)) xs;
  dropEnd = n: xs: take (lib.max 0 (length xs - n)) xs;
  sublist =
    start: count: xs:
    let
      n = length xs;
      size = if start >= n then 0 else lib.min count (n - start);
    in
    genList (i: elemAt xs (start + i)) size;
  count = keep: foldl' (c: x: if keep x then c + 1 else c) 0;
  # Without recursion: lists may be long.
  findFirstIndex =
    keep: default: xs:
    let
      found = foldl' (
        i: x:
        if i >= 0 then
          i
        else if keep x then
          -i - 1
        else
          i - 1
      ) (-1) xs;
    in
    if found >= 0 then found else default;
  findFirst =
    keep: default: xs:
    let
      i = findFirstIndex keep null xs;
    in
    if i == null then default else elemAt xs i;
  findSingle =
    keep: default: multiple: xs:
    let
      found = filter keep xs;
    in
    if found == [ ] then
      default
    else if length found > 1 then
      multiple
    else
      head found;
  unique = foldl' (acc: x: if elem x acc then acc else acc ++ [ x ]) [ ];
  uniqueStrings = xs: builtins.attrNames (builtins.listToAttrs (map (name: { inherit name; value = null; }) xs));
  allUnique = xs: length (unique xs) == length xs;
  remove = x: filter (y: y != x);
  subtractLists = gone: filter (x: !(elem x gone));
  intersectLists = xs: filter (x: elem x xs);
  mutuallyExclusive = a: b: length a == 0 || !(builtins.any (x: elem x a) b);
  zipListsWith =
    f: xs: ys:
    genList (i: f (elemAt xs i) (elemAt ys i)) (lib.min (length xs) (length ys));
  zipLists = zipListsWith (fst: snd: { inherit fst snd; });
  crossLists = f: foldl' (fs: args: builtins.concatMap (f': map f' args) fs) [ f ];
  commonPrefixLength =
    xs: ys:
    findFirstIndex (p: p.fst != p.snd) (lib.min (length xs) (length ys)) (zipLists xs ys);
  commonPrefix = xs: ys: take (commonPrefixLength xs ys) xs;
  sortOn = f: xs: map (p: p.x) (builtins.sort (a: b: a.k < b.k) (map (x: { k = f x; inherit x; }) xs));
  compareLists =
    cmp: a: b:
    if a == [ ] then
      if b == [ ] then 0 else -1
    else if b == [ ] then
      1
    else
      let
        c = cmp (head a) (head b);
      in
      if c == 0 then compareLists cmp (tail a) (tail b) else c;
  naturalSort = builtins.sort (a: b: builtins.compareVersions a b < 0);
  forEach = xs: f: map f xs;
  replaceElemAt =
    xs: i: new:
    imap0 (j: x: if i == j then new else x) xs;
  groupBy' =
    op: nul: key: xs:
    builtins.mapAttrs (_: foldl' op nul) (builtins.groupBy key xs);
}
