# Functions about attribute sets.
lib:
let
  inherit (builtins)
    attrNames
    concatLists
    filter
    head
    isAttrs
    length
    listToAttrs
    mapAttrs
    tail
    ;
in
rec {
  inherit (builtins)
    attrNames
    attrValues
    catAttrs
    getAttr
    hasAttr
    intersectAttrs
    isAttrs
    listToAttrs
    mapAttrs
    removeAttrs
    zipAttrsWith
    ;

  nameValuePair = name: value: { inherit name value; };
  mapAttrs' = f: set: listToAttrs (map (n: f n set.${n}) (attrNames set));
  mapAttrsToList = f: set: map (n: f n set.${n}) (attrNames set);
  attrsToList = mapAttrsToList nameValuePair;
  concatMapAttrs = f: set: mergeAttrsList (mapAttrsToList f set);
  mergeAttrsList = builtins.foldl' (a: b: a // b) { };
  filterAttrs = keep: set: removeAttrs set (filter (n: !(keep n set.${n})) (attrNames set));
  genAttrs =
    names: f:
    listToAttrs (
      map (name: {
        inherit name;
        value = f name;
      }) names
    );
  overrideExisting = old: new: mapAttrs (n: v: new.${n} or v) old;
  zipAttrsWithNames =
    names: f: sets:
    genAttrs names (name: f name (builtins.catAttrs name sets));
  genAttrs' = names: f: listToAttrs (map f names);
  optionalAttrs = condition: set: if condition then set else { };
  zipAttrs = builtins.zipAttrsWith (_: values: values);
  foldAttrs =
    op: nul: sets:
    builtins.zipAttrsWith (_: values: lib.foldr op nul values) sets;
  foldlAttrs =
    f: init: set:
    builtins.foldl' (acc: n: f acc n set.${n}) init (attrNames set);
  getAttrs = names: set: genAttrs names (n: set.${n});
  attrVals = names: set: map (n: set.${n}) names;
  renameAttrs = names: set: mapAttrs' (n: nameValuePair (names.${n} or n)) set;
  isDerivation = value: value.type or null == "derivation";
  toDerivation =
    path:
    let
      stored = builtins.storePath path;
    in
    {
      type = "derivation";
      name = lib.strings.sanitizeDerivationName (builtins.substring 33 (-1) (baseNameOf stored));
      outPath = stored;
      outputs = [ "out" ];
      outputName = "out";
    };

  attrByPath =
    path: default: set:
    if path == [ ] then
      set
    else if isAttrs set && set ? ${head path} then
      attrByPath (tail path) default set.${head path}
    else
      default;
  hasAttrByPath =
    path: set:
    path == [ ] || (isAttrs set && set ? ${head path} && hasAttrByPath (tail path) set.${head path});
  getAttrFromPath = path: attrByPath path (throw "cannot find attribute `${lib.concatStringsSep "." path}`");
  setAttrByPath = path: value: if path == [ ] then value else { ${head path} = setAttrByPath (tail path) value; };

  mapAttrsRecursive = mapAttrsRecursiveCond (_: true);
  mapAttrsRecursiveCond =
    enter: f: set:
    let
      go =
        path:
        mapAttrs (
          n: v:
          let
            here = path ++ [ n ];
          in
          if isAttrs v && enter v then go here v else f here v
        );
    in
    go [ ] set;
  filterAttrsRecursive =
    keep: set:
    mapAttrs (_: v: if isAttrs v then filterAttrsRecursive keep v else v) (filterAttrs keep set);
  collect =
    keep: value:
    if keep value then
      [ value ]
    else if isAttrs value then
      lib.concatMap (collect keep) (builtins.attrValues value)
    else
      [ ];

  recursiveUpdateUntil =
    stop: left: right:
    let
      go =
        path: l: r:
        l
        // mapAttrs (
          n: rv:
          if l ? ${n} && !(stop (path ++ [ n ]) l.${n} rv) then go (path ++ [ n ]) l.${n} rv else rv
        ) r;
    in
    go [ ] left right;
  recursiveUpdate = recursiveUpdateUntil (_: l: r: !(isAttrs l && isAttrs r));
  updateManyAttrsByPath =
    updates: set:
    builtins.foldl' (
      acc: u: recursiveUpdate acc (setAttrByPath u.path (u.update (attrByPath u.path null acc)))
    ) set updates;
  matchAttrs =
    pattern: set:
    lib.all (
      n: set ? ${n} && (if isAttrs pattern.${n} then isAttrs set.${n} && matchAttrs pattern.${n} set.${n} else pattern.${n} == set.${n})
    ) (attrNames pattern);
  cartesianProduct =
    sets: builtins.foldl' (acc: n: lib.concatMap (a: map (v: a // { ${n} = v; }) sets.${n}) acc) [ { } ] (attrNames sets);
  cartesianProductOfSets = cartesianProduct;
  mapCartesianProduct = f: sets: map f (cartesianProduct sets);
  unionOfDisjoint =
    x: y:
    let
      both = builtins.intersectAttrs x y;
    in
    x // y // mapAttrs (n: _: throw "unionOfDisjoint: attribute `${n}` is in both sets") both;
  recurseIntoAttrs = set: set // { recurseForDerivations = true; };
  dontRecurseIntoAttrs = set: set // { recurseForDerivations = false; };
  getOutput = output: pkg: if pkg.outputSpecified or false then pkg else pkg.${output} or pkg.out or pkg;
  getBin = getOutput "bin";
  getLib = getOutput "lib";
  getDev = getOutput "dev";
  getExe = pkg: getExe' pkg (pkg.meta.mainProgram or (lib.getName pkg));
  getExe' = pkg: program: "${getBin pkg}/bin/${program}";
}
