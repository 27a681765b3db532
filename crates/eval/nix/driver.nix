# The evaluator's side that runs inside Nix: evaluates members of a deployment on demand and tells the engine what came of it.
#
# It asks for work with `builtins.exec` of the bridge, and answers with traces on standard error: no limit of size, nothing in
# anybody's argv, and needs and results arrive in the order in which they came about. It never builds, and it decides nothing:
# which member is asked again, and when, is decided in `src/core/turns.rs`. The lines are described in `src/wire.rs`.
{ config }:
let
  inherit (builtins)
    all any attrNames attrValues concatStringsSep deepSeq elemAt foldl' fromJSON functionArgs genList genericClosure getContext hasContext
    intersectAttrs isAttrs isBool isFunction isInt isList isString length mapAttrs parseDrvName pathExists readFile removeAttrs seq stringLength
    substring toJSON trace tryEval typeOf unsafeDiscardStringContext;

  cfg = fromJSON (readFile config);

  say = words: value: trace (cfg.nonce + " " + words) value;

  # One exchange with the engine. The engine waits for the line before it answers, so that it has read all that came before.
  call = args: say "c" (fromJSON (builtins.exec (cfg.bridge ++ [ cfg.epoch ] ++ args)));

  mark = word: { ${cfg.nonce} = word; };

  # When explaining, nothing is caught: Nix itself says what is wrong and where.
  attempt = if cfg.explain then (value: { success = true; inherit value; }) else tryEval;

  # ---- the root --------------------------------------------------------------------------------------------------------

  # The engine gives back what only begins like a token.
  reveal = token:
    if isString token && substring 0 (stringLength cfg.token) token == cfg.token && stringLength token < 4096
    then call [ "reveal" (unsafeDiscardStringContext token) ]
    else token;

  freehold = {
    inherit reveal;
    inherit (cfg) providers;
    builtinProviders = attrNames cfg.providers;
    resourceTypes = mapAttrs (_: provider: attrNames (provider.types or { })) cfg.providers;
  };

  library = import cfg.library {
    inherit reveal;
    providers = if cfg.providers == { } then null else cfg.providers;
  };

  arguments = { freehold = library; };

  applyArguments = value:
    if isFunction value && !(isLegacy value)
    then value (if functionArgs value == { } then arguments else intersectAttrs (functionArgs value) arguments)
    else value;

  isRoot = value: isAttrs value && value ? rootFunction;

  # `{ resources, ... }: { … }`, a `deploymentFunction`, or a set of them.
  isLegacy = value:
    if isFunction value then functionArgs value ? resources
    else isAttrs value && (value ? nixops4Deployments || value ? deploymentFunction);

  fromLegacy = value: if isAttrs value && value ? nixops4Deployments then theOne value.nixops4Deployments else library.lib.mkLegacyRoot value;

  theOne = deployments:
    let names = attrNames deployments; in
    if deployments ? default then library.lib.mkLegacyRoot deployments.default
    else if length names == 1 then library.lib.mkLegacyRoot deployments.${elemAt names 0}
    else throw "${cfg.what} has several deployments and none is called `default`: ${toJSON names}";

  toRoot = given:
    let value = applyArguments given; in
    if isRoot value then value
    else if isLegacy value then fromLegacy value
    else throw "${what} is not a deployment but of type `${typeOf value}`: it must be what `freehold.lib.mkRoot { modules = [ … ]; }` returns, or a function `{ freehold, ... }:` of it";

  flake = builtins.getFlake cfg.source.flake;

  # Where nobody says which attribute is meant, the flake itself says which of them it has.
  chosen =
    if cfg.source ? file || cfg.source.attribute != [ ] then null
    else if flake ? freehold then "freehold"
    else if cfg.source.instead != null then null
    else if flake ? nixops4 then "nixops4"
    else if flake ? nixops4Deployments then "nixops4Deployments"
    else throw "the flake ${cfg.what} has no attribute `freehold`, nor one of NixOps4 (`nixops4`, `nixops4Deployments`)";

  what = if chosen == null then cfg.what else "${cfg.what}#${chosen}";

  root = toRoot (
    if cfg.source ? file then import cfg.source.file
    else if chosen == "nixops4Deployments" then { inherit (flake) nixops4Deployments; }
    else if chosen != null then flake.${chosen}
    else if cfg.source.attribute == [ ] then import cfg.source.instead
    else foldl' (value: name: value.${name} or (throw "the flake has no attribute `${cfg.what}`")) flake cfg.source.attribute
  );

  # ---- outputs ---------------------------------------------------------------------------------------------------------

  missing = reference: say "n ${reference}" (throw "the output ${reference} is not known yet");

  # What the engine says of an output: [ 0 value ], [ 1 value-with-unknown-parts ], [ 2 ] for one that is missing, or
  # [ 3 reason ] for one that Nix cannot hold.
  useOutput = reference: told:
    let kind = elemAt told 0; in
    if kind == 0 then say "u ${reference}" (elemAt told 1)
    else if kind == 1 then say "u ${reference}" (withUnknownParts reference (elemAt told 1))
    else if kind == 3 then throw (elemAt told 1)
    else missing reference;

  withUnknownParts = reference: value:
    if isAttrs value then
      if value ? ${cfg.nonce} then missing reference else mapAttrs (_: withUnknownParts reference) value
    else if isList value then map (withUnknownParts reference) value
    else value;

  # `outputValues` of the contract: the member tree without wrappers, each output a thunk. `known` is the table's part for this
  # member: `o` its outputs, `m` its members.
  outputValues = table: known: path: export:
    if export ? resource then
      mapAttrs
        (name: _:
          let reference = toJSON [ path name ]; in
          if known ? o.${name} then useOutput reference known.o.${name}
          else if table.complete then missing reference
          else useOutput reference (call [ "output" reference ]))
        (export.resource.outputsSkeleton or { })
    else mapAttrs (name: outputValues table (known.m.${name} or { }) (path ++ [ name ])) (export.members or { });

  # ---- values ----------------------------------------------------------------------------------------------------------

  # A value as JSON can hold it, each leaf tried apart.
  walk = depth: value:
    let
      tried = attempt value;
      it = tried.value;
      type = typeOf it;
    in
    if !tried.success then mark "failed"
    else if isString it then it
    else if isAttrs it then
      if it ? __toString then walk depth (it.__toString it)
      else if it ? outPath then walk depth it.outPath
      else if depth == 0 then mark "deep"
      else mapAttrs (_: walk (depth - 1)) it
    else if type == "list" then if depth == 0 then mark "deep" else map (walk (depth - 1)) it
    else if type == "path" then if pathExists it then walk depth "${it}" else mark "no-path ${toString it}"
    else if type == "lambda" then mark "function"
    else it;

  walked = walk cfg.depth;

  isPlain = value: isString value || isInt value || isBool value || value == null;

  # Several values by name. Most are plain all of them, which takes one look.
  walkedAll = values:
    let plain = attempt (all isPlain (attrValues values)); in
    if plain.success && plain.value then values else mapAttrs (_: walked) values;

  isMarked = it: isAttrs it && it ? ${cfg.nonce};

  # A program: a string, a path (run where it lies) or a derivation (its main program).
  program = it:
    if isAttrs it && it ? outPath then
      "${it.outPath}/bin/${it.meta.mainProgram or it.pname or (parseDrvName (it.name or "program")).name}"
    else if typeOf it == "path" then toString it
    else it;

  checks = map (check: {
    a = walked check.assertion;
    m = let message = attempt (check.message or ""); in if message.success then walked message.value else mark "failed";
  });

  # ---- members ---------------------------------------------------------------------------------------------------------

  exportAt = foldl' (export: name: if export == null then null else export.members.${name} or null);

  # Which part is being evaluated, where the engine wants to know. (A line costs about 10 µs.)
  part = detail: name: value: if detail then say "p ${toJSON name}" value else value;

  composite = export: {
    k = "c";
    n = attrNames (export.members or { });
    ${if (export.moved or [ ]) == [ ] then null else "m"} = export.moved;
    ${if (export.removed or [ ]) == [ ] then null else "r"} = export.removed;
    ${if (export.checks or [ ]) == [ ] then null else "x"} = true;
  };

  # What says nothing is left out: a line has its price by the byte. Most members have nothing but the first part.
  resource = detail: it:
    let
      inherit (it) provider;
      state = it.state or null;
      after = it.dependsOn or [ ];
      lifecycle = it.lifecycle or { };
      rest = removeAttrs lifecycle [ "replaceWhen" ];
      shape =
        { k = "r"; t = it.type; o = attrNames (it.outputsSkeleton or { }); }
        // (if provider.type == "builtin" then { n = provider.name; } else { p = launch provider; })
        // (if state == null then { } else { s = state; })
        // (if after == [ ] then { } else { d = after; })
        // (if rest == { } then { } else { l = rest; })
        // (if (it.operations or { }) == { } && (it.postconditions or [ ]) == [ ] then { } else { x = true; });
    in
    (if detail then deepSeq shape shape else shape)
    // { v = if detail then mapAttrs (name: value: part detail [ name ] (walked value)) it.inputs else walkedAll it.inputs; }
    // (if provider ? config then { a = part detail "config" (walked provider.config); } else { })
    // (if it ? preconditions then { b = part detail "preconditions" (checks it.preconditions); } else { })
    // (if lifecycle ? replaceWhen then { w = part detail "replaceWhen" (walked lifecycle.replaceWhen); } else { });

  launch = provider: {
    inherit (provider) type;
    executable = program provider.executable;
    args = map (arg: "${arg}") (provider.args or [ ]);
  };

  describe = detail: export:
    if export == null then { k = "g"; }
    else if !(isAttrs export) then { k = "b"; }
    else if export ? resource then resource detail export.resource
    else if export ? members then composite export
    else { k = "b"; };

  # What may depend on a resource's own outputs and therefore never holds it up.
  extras = export:
    let it = export.resource or { }; in
    {
      k = "x";
      c = checks (export.checks or [ ]);
      b = checks (it.postconditions or [ ]);
      o = mapAttrs
        (_: operation:
          let
            command = {
              executable = walked (program operation.executable);
              args = walked (operation.args or [ ]);
              env = walked (operation.env or { });
              stdin = walked (operation.stdin or null);
            };
          in
          { v = command; d = walked (operation.description or ""); c = getContext (toJSON command); })
        (it.operations or { });
    };

  # An answer as it is told; where it throws, that it does. How a provider's program is started comes apart, with a context of its own.
  answer = what: value:
    let
      tried = attempt (
        if value ? p then "${told (toJSON (removeAttrs value [ "p" ]))} ${told (toJSON value.p)}" else told (toJSON value));
    in
    {
      text = "${what} ${if tried.success then tried.value else "{\"k\":\"f\"} {}"}";
      kind = if tried.success then value.k else "f";
    };

  told = text: if hasContext text then "${unsafeDiscardStringContext text} ${toJSON (getContext text)}" else text + " {}";

  # The members of a composite, up to the first that seems to need what is missing: no answer after it could be relied on.
  # (Those in `apart` are known to.) Many are told in one line: a line has its price, too.
  membersOf = export: apart:
    let
      names = attrNames (removeAttrs export.members apart);
      count = length names;
      group = from:
        let
          size = if count - from < 64 then count - from else 64;
          members = genList
            (i:
              let
                name = elemAt names (from + i);
                value = describe false export.members.${name};
                told = answer (toJSON name) value;
              in
              {
                inherit (told) text;
                isWhole = seq told.text (told.kind == "c" || told.kind == "r" && !(any isMarked (attrValues value.v)));
              })
            size;
          good = foldl' (good: i: if good == i && (elemAt members i).isWhole then good + 1 else good) 0 (genList (i: i) size);
          answered = genList (i: (elemAt members i).text) (if good < size then good + 1 else size);
        in
        seq (say "k ${concatStringsSep " " answered}" null) (if good == size && from + size < count then [ { key = from + size; } ] else [ ]);
    in
    if count == 0 then null else length (genericClosure { startSet = [ { key = 0; } ]; operator = item: group item.key; });

  # ---- the conversation ------------------------------------------------------------------------------------------------

  # One generation: a fresh application of the root function. Only integers outlive it (`genericClosure` keeps its elements).
  generation = number:
    let
      # What to begin with is often known before it can be asked for: an exchange less.
      setup =
        if number == 0 && cfg.first != null && pathExists cfg.first then say "f" (fromJSON (readFile cfg.first))
        else call [ "generation" (toString number) ];
      fixpoint = root.rootFunction (
        {
          resourceProviderSystem = if cfg.system == null then builtins.currentSystem else cfg.system;
          outputValues = outputValues setup.table setup.table.known [ ] fixpoint;
        }
        // (if root ? freehold then { inherit freehold; } else { }));

      ask = query:
        let
          id = elemAt query 0;
          kind = elemAt query 1;
          export = exportAt fixpoint (elemAt query 2);
          it = answer "r ${toString id}" (if kind == "x" then extras export else describe (kind == "d") export);
        in
        seq (say it.text null) (if kind == "a" && it.kind == "c" then membersOf export (elemAt query 3) else null);

      batch = foldl' (_: ask) null;

      turn = n:
        let next = call [ "next" ]; in
        if next.end then [ ] else seq (batch next.queries) [ { key = n + 1; } ];
    in
    if setup.stop then [ ]
    else
      seq (batch setup.queries) (seq
        (length (genericClosure { startSet = [ { key = 0; } ]; operator = item: turn item.key; }))
        [ { key = number + 1; } ]);
in
# The engine waits for this sign of life for a limited time. What comes then may take as long as it does: reading the root fetches
# flake inputs and evaluates nixpkgs.
seq (say "b" null) (seq root (length (genericClosure { startSet = [ { key = 0; } ]; operator = item: generation item.key; })))
