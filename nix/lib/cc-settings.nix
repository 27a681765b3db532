# What Freehold is told of a Co-op Cloud app: one description for the NixOS modules and for members of a deployment.
#
#   fill { recipe = "ghost"; healthPath = "/"; }        → every parameter of an app, with its default
#   valuesOf (fill …) { domain = "blog.example.org"; }  → what an operator may set, with the app's defaults
#   settingsOf (fill …) values                          → the settings, `freehold.app-settings/1`, as plain data
#
# Settings hold names of secrets and paths of files, never a value of a secret: they go to the Nix store, which everybody on
# the machine can read. No `lib` is needed here, and nothing is read from the disk.
#
# Where to go next: `mkCcApp.nix` makes a NixOS module of it, `../apps/` holds one app per file.
let
  errors = import ./errors.nix;
  inherit (builtins)
    attrNames
    filter
    intersectAttrs
    isBool
    isFunction
    listToAttrs
    mapAttrs
    removeAttrs
    replaceStrings
    substring
    ;

  # Parameters of an app, with what holds when a file in `apps/` does not say otherwise. Those of the first half are what an
  # operator may set, too (`services.coop-cloud.<app>.*`); those of the second half belong to the recipe.
  defaults = {
    domain = null;
    version = null;
    env = { };
    composeFiles = [ ];
    healthPath = "/";
    # What a proxied app answers when it is up: itself, or a redirect to its first page.
    healthOk = [
      200
      301
      302
    ];
    healthTimeout = 300;
    healthBody = null;
    healthOrigin = null;
    healthTcp = null;
    probes = [ ];
    stateful = false;
    autoUpdate = false;
    upTo = "minor";
    updateSchedule = "03:00:00";
    after = [ ];
    timeout = 600;
    secrets = { };
    generateSecrets = true;

    # Of the recipe.
    # [ { name; example; why; notDomain ? false; } ]: settings of the `.env` without which the recipe cannot run; with `notDomain`
    # it has to be another name than the app's own.
    requiredEnv = [ ];
    # { NAME = { as = "swarm" | "path"; variable ? null; required ? false; why ? ""; versionVariable ? null; rotation ? "version"; restartUnits ? [ ]; }; }
    recipeSecrets = { };
    # [ { assertion; message; } ], or a function of `{ name; domain; env; stackName; … }` to it.
    checks = [ ];
    # Ports that the recipe publishes on the host, for the firewall.
    tcpPorts = [ ];
    udpPorts = [ ];
    # A NixOS module that belongs to the app (a runner, say), or a function of `{ appName, unit, … }` to it.
    module = { };

    # Of the infrastructure only (`traefik.nix`).
    unitName = null;
    needsProxy = true;
    versionRequired = true;
  };
  ofTheRecipe = [
    "requiredEnv"
    "recipeSecrets"
    "checks"
    "tcpPorts"
    "udpPorts"
    "module"
  ]
  ++ ofTheInfrastructure;
  ofTheInfrastructure = [
    "unitName"
    "needsProxy"
    "versionRequired"
  ];
  operatorNames = attrNames (removeAttrs defaults ofTheRecipe);

  fill =
    given:
    let
      known = attrNames defaults ++ [
        "recipe"
        "appName"
      ];
      unknown = filter (n: !(builtins.elem n known)) (attrNames given);
      first = builtins.head unknown;
      # A recipe of another forge is called by its place: `mygit.example.org/club/wiki`.
      appName = given.appName or (baseNameOf given.recipe);
    in
    if !(given ? recipe) then
      throw "mkCcApp: there is no `recipe`.\nhint: name the Co-op Cloud recipe: `mkCcApp { recipe = \"ghost\"; … }`"
    else if unknown != [ ] then
      throw "mkCcApp: `${first}` is no parameter of an app (recipe `${given.recipe}`).${errors.didYouMean first known}\nhint: there are ${errors.listed (builtins.filter (n: !(builtins.elem n ofTheInfrastructure)) known)}"
    else if builtins.match "[a-z0-9][a-z0-9_-]*" appName == null then
      throw "mkCcApp: appName `${appName}` cannot be part of a unit's name.\nhint: use small letters, digits, `-` and `_`: `appName = \"club-site\";`"
    else
      defaults // given // { inherit appName; };

  # An app with changes: words that the recipe's own page has are not looked for on another.
  changed =
    given: changes:
    given
    // (if isOwnPage (defaults // given) (given // changes) then { } else { healthBody = null; })
    // changes;

  # The recipe's own words are on the recipe's own page: elsewhere only those of the operator count.
  isOwnPage = app: values: values.healthPath or app.healthPath == app.healthPath;
  healthBodyOf = app: values: if isOwnPage app values then app.healthBody else null;
  # Whoever says where a page is says that there is one.
  healthPathOf =
    app: values: if app.healthPath == null && values.healthOrigin or null != null then "/" else app.healthPath;

  # As abra names a stack: dots become underscores, and 45 characters are kept.
  stackName = domain: substring 0 45 (replaceStrings [ "." ] [ "_" ] domain);

  # The name that a stack has: `STACK_NAME` of the `.env`, or else by its domain.
  stackOf =
    domain: env:
    let
      said = env.STACK_NAME or null;
    in
    if said == null || envText said == "" then stackName domain else envText said;

  # What may be computed from: `env`, `probes` and `checks` of an app may be functions of this.
  contextOf =
    app: values:
    {
      inherit (values) domain;
      inherit (app) appName;
      stackName = stackOf values.domain ((if isFunction app.env then { } else app.env) // values.env);
      # The stack of the proxy, where the app runs behind one that is known.
      proxyStackName = values.proxyStackName or null;
    };
  call = f: context: if isFunction f then f context else f;

  # The `.env` of an app before the operator's settings: no resolver, so that Traefik serves the wildcard certificate, and
  # abra waits as long as Freehold does.
  envDefaults =
    app: values:
    {
      LETS_ENCRYPT_ENV = "";
      TIMEOUT = values.timeout;
    }
    // call app.env (contextOf app values);

  envText =
    value:
    if isBool value then
      (if value then "true" else "false")
    else
      toString value;

  # The `.env` as it is written: an operator's `null` takes a default away.
  envOf =
    app: values:
    let
      merged = envDefaults app values // values.env;
      kept = removeAttrs merged (filter (n: merged.${n} == null) (attrNames merged));
      composed =
        if values.composeFiles == [ ] then
          { }
        else
          { COMPOSE_FILE = builtins.concatStringsSep ":" ([ "compose.yml" ] ++ values.composeFiles); };
      # A secret that the recipe reads from a file has the file's path in the `.env`.
      paths = listToAttrs (
        map (n: {
          name = values.secrets.${n}.variable;
          value = values.secrets.${n}.file;
        }) (filter (n: values.secrets.${n}.as == "path" && values.secrets.${n}.variable != null) (attrNames values.secrets))
      );
    in
    composed // mapAttrs (_: envText) kept // paths;

  probesOf = app: values: call values.probes (knownOf app values);
  checksOf = app: values: call app.checks (knownOf app values);
  knownOf =
    app: values:
    let
      env = envOf app values;
    in
    contextOf app values
    // {
      inherit env;
      stackName = stackOf values.domain env;
    };

  # NixOS modules are functions, too: this one asks for the app's name.
  moduleOf =
    app: unit:
    if isFunction app.module && builtins.functionArgs app.module ? appName then
      app.module {
        inherit (app) appName;
        inherit unit;
      }
    else
      app.module;

  # One secret with everything said; `file` is where its value lies on the host, or null.
  secretDefaults = app: name: {
    as = app.recipeSecrets.${name}.as or "swarm";
    variable = app.recipeSecrets.${name}.variable or null;
    versionVariable = app.recipeSecrets.${name}.versionVariable or null;
    rotation = app.recipeSecrets.${name}.rotation or "version";
    version = null;
    file = null;
    sopsPath = null;
    sopsFile = null;
  };

  without = names: set: removeAttrs set (filter (n: set.${n} == null) names);

  secretsOf =
    values:
    map (
      name:
      let
        s = values.secrets.${name};
      in
      without [ "version" "versionVariable" ] {
        inherit name;
        inherit (s)
          file
          rotation
          version
          versionVariable
          ;
      }
    ) (filter (n: values.secrets.${n}.as == "swarm") (attrNames values.secrets));

  # The path brings its slash along.
  trimmed =
    url:
    let
      kept = builtins.match "(.*[^/])/*" url;
    in
    if kept == null then "" else builtins.head kept;

  # The gate in the shape of every runtime (docs/reference/rollout.md). Without a path it is Swarm's own settling.
  gateOf =
    values:
    {
      timeoutSeconds = values.healthTimeout;
    }
    // (
      if values.healthPath == null then
        { }
      else
        {
          http = without [ "bodyMatches" ] {
            url = "${if values.healthOrigin == null then "https://${values.domain}" else trimmed values.healthOrigin}${values.healthPath}";
            expect = values.healthOk;
            bodyMatches = values.healthBody;
          };
        }
    )
    // (if values.healthTcp == null then { } else { tcp = values.healthTcp; });

  settingsOf = app: values: {
    format = "freehold.app-settings/1";
    inherit (app) recipe;
    name = app.appName;
    inherit (values)
      domain
      version
      stateful
      generateSecrets
      after
      ;
    policy = {
      mode = if values.autoUpdate then "auto" else "pinned";
      inherit (values) upTo;
    };
    env = envOf app values;
    gate = gateOf values;
    probes = probesOf app values;
    timeoutSeconds = values.timeout;
    secrets = secretsOf values;
  };

  # The values of an app where no module system has merged them.
  valuesOf =
    app: given:
    let
      unknown = attrNames (removeAttrs given (operatorNames ++ [ "proxyDomain" ]));
      secrets = app.secrets // (given.secrets or { });
      path = { healthPath = healthPathOf app given; } // given;
      values = intersectAttrs (removeAttrs defaults ofTheRecipe) app // {
        env = { };
        inherit (path) healthPath;
        healthBody = healthBodyOf app path;
        proxyStackName = if given.proxyDomain or null == null then null else stackName given.proxyDomain;
      } // given;
    in
    if unknown != [ ] then
      throw "ccAppSettings: `${builtins.head unknown}` is no setting of `${app.appName}`.${errors.didYouMean (builtins.head unknown) operatorNames}\nhint: there are ${errors.listed operatorNames}"
    else if values.domain == null then
      throw "ccAppSettings: `domain` is not set for `${app.appName}`.\nhint: `ccAppSettings \"${app.recipe}\" { domain = \"${app.appName}.example.org\"; … }`"
    else
      values
      // {
        secrets = mapAttrs (name: s: secretDefaults app name // s) secrets;
        composeFiles = app.composeFiles ++ (given.composeFiles or [ ]);
        after = app.after ++ (given.after or [ ]);
      };
in
{
  inherit
    changed
    checksOf
    defaults
    envOf
    fill
    healthBodyOf
    healthPathOf
    moduleOf
    operatorNames
    secretDefaults
    settingsOf
    stackName
    stackOf
    valuesOf
    ;
}
