# Option types that are ours: records with lazy fields, references to members, values of inputs.
{ lib, errors }:
let
  inherit (builtins)
    attrNames
    concatMap
    head
    isAttrs
    isList
    isString
    mapAttrs
    removeAttrs
    tail
    zipAttrsWith
    ;
  inherit (lib) mkOptionType;

  properties = {
    "if" = null;
    merge = null;
    override = null;
    order = null;
    definition = null;
  };
  isProperty = v: isAttrs v && v ? _type && isString v._type && properties ? ${v._type};

  # The value of an option from its definitions; quick when there is one plain definition.
  mergeOne =
    loc: type: defs:
    if defs != [ ] && tail defs == [ ] && !(isProperty (head defs).value) then
      if type.check (head defs).value then
        type.merge loc defs
      else
        (lib.mergeDefinitions loc type defs).mergedValue
    else
      (lib.mergeDefinitions loc type defs).mergedValue;

  # Definitions without properties, lowered to those that count.
  settle = loc: defs: (lib.mergeDefinitions loc lib.types.raw defs).defsFinal;

  # A name that only stands under `mkIf false`: the set of names must not depend on it, so it cannot be dropped.
  withheld =
    loc:
    throw ''
      `${errors.showPath loc}` is defined only under a condition that is false, and the names around it must be known without asking.
      hint: put the condition around the set: `lib.mkIf condition { name = …; }` or `// lib.optionalAttrs condition { name = …; }`'';

  plainSet =
    v: isAttrs v && !(v ? _type || v ? outPath || v ? __functor || v ? __toString);

  # The value of an input: anything. Nothing is forced that is not asked for: one definition is passed on as it is, sets
  # from several definitions are joined name by name.
  inputValue = mkOptionType {
    name = "inputValue";
    description = "anything";
    check = _: true;
    merge =
      loc: defs:
      if tail defs == [ ] then
        strip loc (head defs)
      else if builtins.all (d: plainSet d.value) defs then
        joinSets loc defs
      else
        lib.mergeEqualOption loc defs;
  };
  joinSets =
    loc: defs:
    zipAttrsWith (
      name: ds: valueOf (loc ++ [ name ]) ds
    ) (map (d: mapAttrs (_: value: { inherit (d) file; inherit value; }) d.value) defs);
  # Conditions inside one set (`env.A = lib.mkIf …`), found only where a value is asked for.
  strip =
    loc: def:
    if plainSet def.value then
      mapAttrs (name: value: valueOf (loc ++ [ name ]) [ { inherit (def) file; inherit value; } ]) def.value
    else
      def.value;
  valueOf =
    loc: defs:
    if tail defs == [ ] && !(isProperty (head defs).value) then
      strip loc (head defs)
    else
      let
        settled = settle loc defs;
      in
      if settled == [ ] then withheld loc else inputValue.merge loc settled;

  # A list whose elements are not looked at: each may be unknown on its own.
  lazyList = mkOptionType {
    name = "lazyList";
    description = "list";
    check = isList;
    merge = _: defs: builtins.concatLists (map (d: d.value) defs);
    emptyValue = {
      value = [ ];
    };
  };

  # A set with known fields, each merged when it is asked for.
  record =
    fields:
    let
      names = attrNames fields;
      self = mkOptionType {
        name = "record";
        description = "set of ${errors.listed names}";
        check = isAttrs;
        merge =
          loc: defs:
          let
            unknown = concatMap (d: attrNames (removeAttrs d.value names)) defs;
            byName = zipAttrsWith (_: ds: ds) (
              map (d: mapAttrs (_: value: { inherit (d) file; inherit value; }) d.value) defs
            );
            field =
              name: spec:
              let
                ds = byName.${name} or [ ];
                absent =
                  if spec ? default then
                    spec.default
                  else
                    throw "`${errors.showPath (loc ++ [ name ])}` is missing.\nhint: add `${errors.showPath (loc ++ [ name ])} = …;`";
              in
              if ds == [ ] then
                absent
              else if tail ds == [ ] && !(isProperty (head ds).value) then
                mergeOne (loc ++ [ name ]) spec.type ds
              else if settle (loc ++ [ name ]) ds == [ ] then
                absent
              else
                mergeOne (loc ++ [ name ]) spec.type ds;
          in
          if unknown == [ ] then
            mapAttrs field fields
          else
            throw "`${errors.showPath (loc ++ [ (head unknown) ])}` does not exist.${errors.didYouMean (head unknown) names}\nhint: there are ${errors.listed names}";
        emptyValue = {
          value = { };
        };
      };
    in
    self;

  # A place in the tree of members: a list of names, or the same as a string with dots.
  memberPath =
    let
      toPath =
        v:
        if isString v then
          builtins.filter isString (builtins.split "\\." v)
        else if isAttrs v then
          v.absoluteMemberPath
        else
          v;
    in
    mkOptionType {
      name = "memberPath";
      description = "member path, for example `[ \"site\" \"page\" ]` or `\"site.page\"`";
      check = v: isString v || isList v && builtins.all isString v || isAttrs v && v ? absoluteMemberPath;
      merge = loc: defs: toPath (lib.mergeOneOption loc defs);
    };

  # A member (`members.x`) or its path → its path.
  memberRef = memberPath // {
    description = "member (`members.x`) or member path (`[ \"x\" ]`)";
  };

  # The same for a member that holds state, when its type is known to.
  stateHolder = memberRef // {
    merge =
      loc: defs:
      let
        v = lib.mergeOneOption loc defs;
        path = memberPath.merge loc defs;
      in
      if isAttrs v && v._holdsState or null == false then
        throw "`${errors.showPath loc}`: `${errors.showMember path}` cannot hold state, its type is `${v.resourceType}`.\nhint: resources that can are `local.state_file` and `s3.object`"
      else
        path;
  };

in
{
  inherit
    inputValue
    isProperty
    lazyList
    memberPath
    memberRef
    mergeOne
    plainSet
    record
    settle
    stateHolder
    valueOf
    ;
}
