# Documentation from what the code says: resource types from their schemas, options of components from their table.
#
#   renderOptionDocs { } → "# Options of a component …"
#   renderProviderDocs { providers ? the built-in ones; } → { "local.file" = "# `local.file` …"; … }
#
# One Markdown page per resource type: description, inputs, outputs, operations, an example. `providers.<p>.types.<t>` has
# the shape of `../providers/*.json`.
{ lib, builtinProviders }:
let
  inherit (builtins)
    attrNames
    concatStringsSep
    filter
    listToAttrs
    map
    replaceStrings
    ;

  cell = replaceStrings [ "|" "\n" ] [ "\\|" " " ];

  table =
    heading: columns: rows:
    if rows == [ ] then
      "${heading}\n\nNone.\n"
    else
      "${heading}\n\n| ${concatStringsSep " | " columns} |\n|${
        concatStringsSep "|" (map (_: "---") columns)
      }|\n${concatStringsSep "\n" (map (r: "| ${concatStringsSep " | " r} |") rows)}\n";

  marks =
    spec:
    concatStringsSep ", " (
      (if spec.required or false then [ "required" ] else [ ]) ++ (if spec.sensitive or false then [ "sensitive" ] else [ ])
    );

  rows = specs: map (n: [ "`${n}`" (marks specs.${n}) (cell (specs.${n}.description or "")) ]) (attrNames specs);

  page =
    provider: name: t:
    let
      # `s3.object`, whether the schema calls it `object` or `s3.object`.
      access =
        if builtins.match "[a-zA-Z_][a-zA-Z0-9_-]*" name != null then
          "providers.${provider}.${name}"
        else
          "providers.${name}";
      required = filter (n: t.inputs.${n}.required or false) (attrNames t.inputs);
      example = ''
        members.example = {
          type = ${access};
        ${concatStringsSep "" (map (n: "  inputs.${n} = …;\n") required)}};
      '';
      facts =
        (if t.holdsState or false then [ "It can hold the state of other resources (`state = members.example;`)." ] else [ ])
        ++ (if t.stateful or true then [ ] else [ "It keeps nothing between runs." ]);
    in
    ''
      # `${provider}.${name}`

      ${t.description or ""}
      ${concatStringsSep "\n" facts}
      ```nix
      ${example}```

      ${table "## Inputs" [ "input" "" "what it is" ] (rows t.inputs)}
      ${table "## Outputs" [ "output" "" "what it is" ] (rows t.outputs)}
      ${table "## Operations" [ "operation" "what it does" ] (
        map (n: [ "`${n}`" (cell (t.operations.${n}.description or "")) ]) (attrNames (t.operations or { }))
      )}'';

  errors = import ./errors.nix;
  memberTypes = import ./member-types.nix { inherit lib errors; };
  optionTable = import ../modules/component.nix {
    inherit lib;
    memberTypes = memberTypes // {
      inherit
        (import ./providers.nix {
          inherit lib errors;
          specialArgs = { };
        })
        providerDeclarations
        ;
    };
  };
  # Those whose types depend on where the component stands (`component.nix`).
  others = {
    members = {
      type.description = "set of members";
      default = { };
      description = "What the composite consists of: resources and composites by name.";
    };
    inputs = {
      type.description = "set, or a module with options";
      default = { };
      description = "What is given to the provider. Each value may be unknown on its own.";
    };
    outputs = {
      type.description = "set";
      description = "What the provider gives back: `members.x.outputs.y`, known when the resource is there.";
    };
  };
  option =
    name: o:
    concatStringsSep "\n" (
      [
        "## `${name}`"
        ""
        (lib.removeSuffix "\n" o.description)
        ""
        "Type: ${o.type.description}"
      ]
      ++ lib.optional (o ? default) "\nDefault: `${lib.generators.toPretty { multiline = false; } o.default}`"
      ++ lib.optional (o ? example) "\nExample: `${name} = ${o.example};`"
      ++ [ "" ]
    );
in
{
  renderOptionDocs =
    { }:
    let
      all = optionTable // others;
    in
    "# Options of a component\n\nA member is a resource (it has a `type`) or a composite (it has `members`).\n\n"
    + concatStringsSep "\n" (map (name: option name all.${name}) (attrNames all));

  renderProviderDocs =
    {
      providers ? builtinProviders,
    }:
    listToAttrs (
      builtins.concatMap (
        p:
        map (t: {
          name = "${p}.${t}";
          value = page p t providers.${p}.types.${t};
        }) (attrNames providers.${p}.types)
      ) (attrNames providers)
    );
}
