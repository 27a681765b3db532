# Providers as deployments see them: `providers.<provider>.<type>`.
#
# A *scope* is the set that modules get as `providers`. It starts with the built-in providers (from their schemas); a
# component that defines `providers` adds to the scope for itself and what is in it. A *type value* is what stands in a
# scope: the provider, the name of the type and what is known of its inputs and outputs.
{ lib, errors, specialArgs }:
let
  inherit (builtins)
    attrNames
    concatMap
    elemAt
    filter
    isAttrs
    isList
    isString
    listToAttrs
    mapAttrs
    match
    ;
  inherit (lib) mkOption types;

  typeTag = "freeholdResourceType";

  emptySpec = {
    required = false;
    description = "";
    sensitive = false;
  };

  # Inputs or outputs as they may be written: names, `{ name = { required; … }; }`, or a module with options.
  isModule =
    v: builtins.isFunction v || builtins.isPath v || isAttrs v && (v ? options || v ? imports || v ? config || v ? __functor);
  specsOf =
    v:
    if v == null || isModule v then
      null
    else if isList v then
      listToAttrs (map (name: { inherit name; value = emptySpec; }) v)
    else
      mapAttrs (_: s: emptySpec // s) v;

  # The names of the options that a module declares.
  optionNamesOf =
    module:
    attrNames (
      builtins.removeAttrs
        (lib.evalModules {
          modules = [ module ];
          inherit specialArgs;
        }).options
        [ "_module" ]
    );

  typeValue =
    provider: name: t:
    {
      _type = typeTag;
      # The provider whose settings it follows, also when it is reached by a short name (`providers.ssh.keypair`).
      home = provider.name or null;
      type = name;
      inherit provider;
      inputs = specsOf (t.inputs or null);
      inputModule = if isModule (t.inputs or null) then t.inputs else null;
      outputs =
        if isModule (t.outputs or null) then
          listToAttrs (map (n: { name = n; value = emptySpec; }) (optionNamesOf t.outputs))
        else
          specsOf (t.outputs or { });
      outputModule = if isModule (t.outputs or null) then t.outputs else null;
      # Other names of inputs: alias → name.
      aliases = t.aliases or { };
      holdsState = t.holdsState or null;
      description = t.description or "";
    };

  # ---- built-in ---------------------------------------------------------------------------------------------------

  # Types named `a.b` can be written `providers.a.b` as well: `ssh.keypair` of `local` is `providers.ssh.keypair`.
  dotted = name: match "([^.]+)\\.(.+)" name;
  builtinScope =
    builtins':
    let
      own = mapAttrs (
        p: schema:
        let
          provider = {
            type = "builtin";
            name = p;
            config = { };
          };
          values = mapAttrs (typeValue provider) schema.types;
          short = concatMap (
            t:
            let
              parts = dotted t;
            in
            if parts != null && elemAt parts 0 == p then [ { name = elemAt parts 1; value = values.${t}; } ] else [ ]
          ) (attrNames values);
        in
        listToAttrs short // values
      ) builtins';
      sugar = builtins.foldl' (
        acc: p:
        builtins.foldl' (
          acc': t:
          let
            parts = dotted t;
            group = elemAt parts 0;
          in
          if parts == null || group == p then
            acc'
          else
            acc'
            // {
              ${group} = acc'.${group} or { } // {
                ${elemAt parts 1} = own.${p}.${t};
              };
            }
        ) acc (attrNames own.${p})
      ) { } (attrNames own);
    in
    own // mapAttrs (group: ts: ts // own.${group} or { }) sugar;

  # ---- declared ---------------------------------------------------------------------------------------------------

  raw =
    attrs:
    mkOption (
      {
        type = types.raw;
        default = null;
      }
      // attrs
    );

  resourceTypeModule = {
    _file = "<freehold resource type>";
    options = {
      description = mkOption {
        type = types.str;
        default = "";
      };
      inputs = raw { description = "Inputs: names, `{ name = { required = true; }; }`, or a module with options."; };
      outputs = raw {
        default = { };
        description = "Outputs, in the same forms.";
      };
      requireState = mkOption {
        type = types.bool;
        default = false;
      };
      stateful = mkOption {
        type = types.bool;
        default = true;
      };
      holdsState = raw { };
      aliases = raw {
        default = { };
        description = "Other names of inputs: alias → name.";
      };
      operations = raw { default = { }; };
      type = raw { description = "Name at the provider, when it is another."; };
    };
  };
  resourceTypes = mkOption {
    type = types.lazyAttrsOf (
      types.submoduleWith {
        modules = [ resourceTypeModule ];
        shorthandOnlyDefinesConfig = true;
      }
    );
    default = { };
  };
  providerModule = {
    _file = "<freehold provider>";
    options = {
      name = raw { };
      description = raw { default = ""; };
      sourceBaseUrl = raw { };
      sourceName = raw { };
      from = mkOption {
        type = types.nullOr types.str;
        default = null;
        description = "Another provider that this one is, with settings of its own.";
      };
      executable = raw { description = "Program that speaks the provider protocol on its standard input and output."; };
      args = mkOption {
        type = types.listOf types.raw;
        default = [ ];
      };
      config = mkOption {
        type = types.lazyAttrsOf types.raw;
        default = { };
        description = "Settings for the whole provider, for example where its credentials come from.";
      };
      types = resourceTypes;
      inherit resourceTypes;
    };
  };

  providerDeclarations = types.lazyAttrsOf (
    types.submoduleWith {
      modules = [ providerModule ];
      class = "nixops4Provider";
      shorthandOnlyDefinesConfig = true;
      inherit specialArgs;
    }
  );

  extendScope =
    loc: scope: declared:
    let
      optionPath = name: errors.showPath (loc ++ [ "providers" name ]);
      extend =
        name: d:
        let
          source = if d.from != null then d.from else name;
          inherited =
            scope.${source} or (throw (
              if d.from != null then
                "`${optionPath name}.from` names the provider `${source}`, which does not exist.${errors.didYouMean source (attrNames scope)}\nhint: there are ${errors.listed (attrNames scope)}"
              else
                "`${optionPath name}` has no `executable`, and no provider `${name}` exists that it could configure.${errors.didYouMean name (attrNames scope)}\nhint: `${optionPath name} = { executable = …; types.<type> = { inputs = [ … ]; outputs = [ … ]; }; };` or `${optionPath name} = { from = \"s3\"; config = { … }; };`"
            ));
          provider = {
            type = "stdio";
            inherit (d) executable args config;
          };
          own = d.types // d.resourceTypes;
        in
        if d.executable == null then
          mapAttrs (_: t: configured d t // { home = name; }) inherited
        else
          mapAttrs (
            typeName: t: typeValue provider (if t.type != null then t.type else typeName) t
          ) own;
      configured =
        d: t:
        t
        // {
          provider = t.provider // {
            config = t.provider.config // d.config;
          };
        };
      # Short names of a provider that is configured here.
      follow =
        t:
        if t.home != null && declared ? ${t.home} && declared.${t.home}.executable == null && declared.${t.home}.from == null then
          configured declared.${t.home} t
        else
          t;
    in
    mapAttrs (_: mapAttrs (_: follow)) scope // mapAttrs extend declared;

  # ---- lookup -----------------------------------------------------------------------------------------------------

  # The value of a `type` option: a type value, or a name such as "local.file" or "ssh.keypair".
  resolve =
    loc: scope: v:
    if isAttrs v && v._type or null == typeTag then
      v
    else if isString v then
      byName loc scope v
    else if isAttrs v && v._type or null == "nixops4ResourceType" then
      typeValue {
        type = "stdio";
        inherit (v.provider) executable args;
        config = { };
      } v.type v
    else if isAttrs v && !(v ? _type) && builtins.any (n: isAttrs v.${n} && v.${n}._type or null == typeTag) (attrNames v) then
      throw "`${errors.showPath loc}` is a provider, not one of its types.\nhint: `${errors.showPath loc} = providers.<provider>.${builtins.head (attrNames v)};`; its types are ${errors.listed (attrNames v)}"
    else
      throw "`${errors.showPath loc}` must be a resource type, but is a ${builtins.typeOf v}.\nhint: `${errors.showPath loc} = providers.local.file;` or `${errors.showPath loc} = \"local.file\";`";

  byName =
    loc: scope: name:
    let
      at = errors.showPath loc;
      parts = dotted name;
      p = elemAt parts 0;
      t = elemAt parts 1;
      all = concatMap (p': map (t': "${p'}.${t'}") (attrNames scope.${p'})) (attrNames scope);
      # A type without its provider, else what looks like it.
      near = filter (full: lib.hasSuffix ".${name}" full) all ++ errors.nearest name all;
      suggestion = if near == [ ] then "" else "\nhint: `${at} = \"${builtins.head near}\";`";
    in
    if parts != null && scope ? ${p} && scope.${p} ? ${t} then
      scope.${p}.${t}
    else if parts != null && scope ? ${p} then
      throw "`${at}`: provider `${p}` has no resource type `${t}`.${errors.didYouMean t (attrNames scope.${p})}\nit has ${errors.listed (attrNames scope.${p})}${suggestion}"
    else if parts == null then
      throw "`${at}`: `${name}` is not a resource type; a name has the form `provider.type`.${suggestion}"
    else
      throw "`${at}`: there is no provider `${p}`.${errors.didYouMean p (attrNames scope)}\nthere are ${errors.listed (attrNames scope)}${suggestion}";
in
{
  inherit
    builtinScope
    byName
    extendScope
    providerDeclarations
    resolve
    ;
}
