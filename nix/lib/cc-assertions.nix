# What an operator can forget or get wrong about an app: every message names the option and shows the line that mends it.
{
  lib,
  app,
  cfg,
  # `services.coop-cloud.<app>`
  option,
  # The `.env` that will be written, and the recipe's own checks over it.
  env,
  checks,
  hasSops,
}:
let
  inherit (builtins)
    attrNames
    concatMap
    filter
    map
    ;
  inherit (app) appName recipe;

  settings = [
    {
      assertion = cfg.domain != null;
      message = "${option}.domain is not set: the app needs the name it is reached by; add `${option}.domain = \"${appName}.example.org\";`";
    }
    {
      assertion = !app.versionRequired || cfg.version != null || cfg.autoUpdate;
      message = "${option}.version is not set: say which version of the recipe `${recipe}` runs (`freehold app versions ${recipe}` lists them), such as `${option}.version = \"1.3.0+6.42.0\";`, or let it follow the newest with `${option}.autoUpdate = true;`";
    }
    {
      assertion = cfg.healthOk != [ ];
      message = "${option}.healthOk is empty: no answer would count as healthy; add `${option}.healthOk = [ 200 ];`, or `${option}.healthPath = null;` to ask for none";
    }
  ];

  required = map (r: {
    assertion = (env.${r.name} or "") != "";
    message = "${option}.env.${r.name} is not set: ${r.why}; add `${option}.env.${r.name} = \"${r.example}\";`";
  }) app.requiredEnv;

  requiredSecrets = map (name: {
    assertion = cfg.secrets ? ${name};
    message = "${option}.secrets.${name} is not set: ${
      app.recipeSecrets.${name}.why or "the recipe cannot make it up"
    }; add `${option}.secrets.${name}.sopsPath = \"${appName}_${name}\";`";
  }) (filter (n: app.recipeSecrets.${n}.required or false) (attrNames app.recipeSecrets));

  secrets = concatMap (
    name:
    let
      s = cfg.secrets.${name};
      at = "${option}.secrets.${name}";
    in
    [
      {
        assertion = (s.sopsPath == null) != (s.file == null);
        message =
          if s.file == null then
            "${at} says nowhere where its value is; add `${at}.sopsPath = \"${appName}_${name}\";`"
          else
            "${at} has both `sopsPath` and `file`; keep one of them";
      }
      {
        assertion = s.sopsPath == null || hasSops;
        message = "${at}.sopsPath needs sops-nix, which is not imported; add `imports = [ inputs.sops-nix.nixosModules.sops ];`, or name a file of your own with `${at}.file`";
      }
      {
        assertion = s.as != "path" || s.variable != null;
        message = "${at} goes into the `.env` as a path, and no variable is named; add `${at}.variable = \"${lib.toUpper name}_FILE\";`";
      }
      {
        assertion = s.file == null || !(lib.hasPrefix "${builtins.storeDir}/" s.file);
        message = "${at}.file is in the Nix store, which everybody on the machine can read; keep it outside, or use `${at}.sopsPath`";
      }
    ]
  ) (attrNames cfg.secrets);
in
settings ++ required ++ requiredSecrets ++ secrets ++ checks
