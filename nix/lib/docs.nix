# Documentation of providers from their schemas.
#
#   renderProviderDocs { providers ? the built-in ones; } → { "local.file" = "# `local.file` …"; … }
#
# One Markdown page per resource type: description, inputs, outputs, operations, an example. `providers.<p>.types.<t>` has
# the shape of `../providers/*.json`.
{ builtinProviders }:
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
in
{
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
