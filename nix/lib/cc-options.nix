# The options of one Co-op Cloud app on NixOS, `services.coop-cloud.<app>.*`, as one table.
#
#   optionsOf { lib; app = fill { recipe = "ghost"; … }; cfg = config.services.coop-cloud.ghost; } → { enable = mkOption …; … }
#
# Defaults come from the app's file; `docs/reference/coop-cloud-options.md` is rendered from here (`cc-docs.nix`).
{
  lib,
  app,
  # What is set, for defaults that go by it.
  cfg,
}:
let
  inherit (lib) mkOption types;
  settings = import ./cc-settings.nix;

  # An option whose default is a parameter of the app.
  of =
    name: type: description:
    mkOption {
      inherit type description;
      default = app.${name};
    };

  # The same, where the default goes by what else is set.
  by =
    name: default: type: description:
    mkOption {
      inherit type default description;
      defaultText = lib.literalExpression (
        if app.${name} == null then "null" else builtins.toJSON app.${name}
      );
    };

  scalar = types.nullOr (
    types.oneOf [
      types.str
      types.int
      types.bool
    ]
  );
  absolute = types.strMatching "/.*";

  secret = types.submodule (
    { name, ... }:
    let
      said = settings.secretDefaults app name;
      field =
        type: default: description:
        mkOption { inherit type default description; };
    in
    {
      options = {
        sopsPath = field (types.nullOr types.str) null "Name of the secret in the sops file: makes `sops.secrets.<sopsPath>` and takes the file that sops-nix decrypts it to.";
        sopsFile = field (types.nullOr types.path) null "The sops file, when it is not `sops.defaultSopsFile`.";
        file = field (types.nullOr absolute) null "A file on the host with the value, for those who do without sops-nix. It is read when the app is deployed.";
        as = field (types.enum [
          "swarm"
          "path"
        ]) said.as "Whether it becomes a Swarm secret, or its path goes into the `.env`. The app's file says how the recipe reads it.";
        variable = field (types.nullOr types.str) said.variable "The variable of the `.env` that gets the path, with `as = \"path\"`.";
        version = field (types.nullOr (types.strMatching "[A-Za-z0-9][A-Za-z0-9.-]*")) null "Version of the Swarm secret, such as `v2`; the one in the `.env` when left out. A new value needs a new version: Swarm overwrites none.";
        versionVariable = field (types.nullOr types.str) said.versionVariable "The variable of the `.env` with that version, when it is not `SECRET_<NAME>_VERSION`.";
        rotation = field (types.enum [
          "version"
          "content"
        ]) said.rotation "`version`: a new value is taken when `version` changes. `content`: the version is derived from the content, so a new file is a new secret (certificates).";
      };
    }
  );

  tcp = types.submodule {
    options = {
      port = mkOption {
        type = types.port;
        description = "Port on this machine.";
      };
      connects = mkOption {
        type = types.ints.positive;
        default = 3;
        description = "Connections that must succeed one after the other.";
      };
    };
  };
in
{
  enable = mkOption {
    type = types.bool;
    # `mkCcApp { domain = …; }` names everything that is needed.
    default = app.domain != null;
    defaultText = lib.literalExpression "false";
    example = true;
    description = "Whether to run the Co-op Cloud app `${app.appName}` (recipe `${app.recipe}`).";
  };
  domain = of "domain" (types.nullOr (types.strMatching "[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")) "The name it is reached by; also the app's name for abra.";
  version = of "version" (types.nullOr (types.strMatching "[0-9]+[.][0-9]+[.][0-9]+[+][^[:space:]]+|[0-9a-f]{7,40}")) "Version of the recipe (`freehold app versions ${app.recipe}` lists them), or a commit. Exactly this one, or with `autoUpdate` the floor.";
  autoUpdate = of "autoUpdate" types.bool "Whether newer versions are taken on `updateSchedule`, up to `upTo`. What has been taken is not taken back by an older `version`.";
  upTo = of "upTo" (types.enum [
    "patch"
    "minor"
  ]) "The largest step that goes without a person. A major version is held, with an alert.";
  updateSchedule = of "updateSchedule" types.str "When updates are looked for (`OnCalendar`).";
  env = mkOption {
    type = types.attrsOf scalar;
    default = { };
    example = {
      MAIL_TRANSPORT = "SMTP";
    };
    description = "Settings of the recipe's `.env`, on top of the app's own; `null` takes one of those away. Never a secret: they go to the Nix store.";
  };
  composeFiles = mkOption {
    type = types.listOf types.str;
    default = [ ];
    example = [ "compose.smtp.yml" ];
    description = "Compose files of the recipe besides `compose.yml` and those that the app has anyway (`COMPOSE_FILE`).";
  };
  secrets = mkOption {
    type = types.attrsOf secret;
    default = { };
    example = {
      db_password.sopsPath = "${app.appName}_db_password";
    };
    description = "Secrets with a value of yours, by the recipe's names for them.";
  };
  generateSecrets = of "generateSecrets" types.bool "Whether secrets that have no value yet are made up as the recipe says, once.";
  stateful = of "stateful" types.bool "Whether its volumes are copied before each upgrade, with the app stopped, and put back when the upgrade fails.";
  healthPath = by "healthPath" (settings.healthPathOf app cfg) (types.nullOr (types.strMatching "/.*")) "The path that is asked for after a deployment; `null` for Swarm's own settling alone.";
  healthOk = of "healthOk" (types.listOf (types.ints.between 100 599)) "Status codes that count as healthy.";
  healthTimeout = of "healthTimeout" types.ints.positive "Seconds until it has to be healthy, from the moment that Swarm has settled.";
  healthBody = by "healthBody" (settings.healthBodyOf app cfg) (types.nullOr types.str) "A regular expression that must be found in the answer. The recipe's own is looked for on the recipe's own `healthPath` only.";
  healthOrigin = of "healthOrigin" (types.nullOr types.str) "Where the path (`/` where the app has none) is asked for, instead of `https://<domain>` at this machine's own proxy.";
  healthTcp = of "healthTcp" (types.nullOr tcp) "A TCP port that must take connections, besides or instead of `healthPath`.";
  probes = mkOption {
    type = types.raw;
    default = app.probes;
    defaultText = lib.literalExpression (if app.probes == [ ] then "[ ]" else "of the recipe");
    description = "Further looks that must all be good: a list of gates, each with `http`, `tcp` or `exec`.";
  };
  timeout = of "timeout" types.ints.positive "Seconds for Swarm to settle (the recipe's `TIMEOUT`).";
  after = mkOption {
    type = types.listOf types.str;
    default = [ ];
    example = [ "cc-app-keycloak.service" ];
    description = "Units that are started before it.";
  };
  openFirewall = mkOption {
    type = types.bool;
    default = true;
    description = "Whether ports that the recipe publishes besides 80 and 443 are opened.";
  };
  settings = mkOption {
    type = types.raw;
    readOnly = true;
    defaultText = lib.literalExpression "what Freehold is told";
    description = "The settings that Freehold gets, as data: `freehold.app-settings/1`.";
  };
  settingsFile = mkOption {
    type = types.raw;
    readOnly = true;
    defaultText = lib.literalExpression "a file in the store";
    description = "The same as a file, also at `/etc/coop-cloud/<app>.json`.";
  };
}
