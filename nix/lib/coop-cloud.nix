# Co-op Cloud apps as functions; the `lib` of the flake has them. None of it needs nixpkgs.
#
#   mkCcApp { recipe = "ghost"; … }                             → NixOS module (`mkCcApp.nix`)
#   ccApps.custom-html { appName = "club"; }                    → NixOS module: an app of ours under another name, or changed
#   mkCoopCloud { extraApps = [ ./apps/wiki.nix ./more ]; }     → NixOS module: all apps of ours, and yours
#   ccAppSettings "ghost" { domain = "blog.example.org"; … }    → the settings as data, for a member of a deployment
#
# A file of an app is `{ mkCcApp, ... }: mkCcApp { recipe = "…"; … }`, here and in an operator's own folder.
let
  mkCcApp = import ./mkCcApp.nix;
  cc = import ./cc-settings.nix;
  errors = import ./errors.nix;
  inherit (builtins)
    attrNames
    concatMap
    filter
    listToAttrs
    map
    mapAttrs
    match
    readDir
    ;

  filesIn =
    folder: map (name: folder + "/${name}") (filter (name: match ".+[.]nix" name != null) (attrNames (readDir folder)));
  moduleOf = file: import file { inherit mkCcApp; };

  # Traefik belongs to `coop-cloud-base.nix`.
  ours = filter (file: baseNameOf file != "traefik.nix") (filesIn ../apps);
  byName = listToAttrs (
    map (file: {
      name = builtins.head (match "(.+)[.]nix" (baseNameOf file));
      value = file;
    }) ours
  );

  # A folder is told from a file by its name: `readFileType` is too new.
  expand = path: if match ".+[.]nix" (toString path) != null then [ path ] else filesIn path;
in
{
  inherit mkCcApp;

  appModules = map moduleOf ours;

  ccApps = mapAttrs (
    _: file: changes:
    import file { mkCcApp = given: mkCcApp (cc.changed given changes); }
  ) byName;

  mkCoopCloud =
    {
      extraApps ? [ ],
    }:
    {
      imports = [ ../nixos/coop-cloud.nix ] ++ map moduleOf (concatMap expand extraApps);
    };

  ccAppSettings =
    recipe: values:
    let
      file =
        byName.${recipe}
          or (throw "ccAppSettings: there is no app for the recipe `${recipe}`.${errors.didYouMean recipe (attrNames byName)}\nhint: there are ${errors.listed (attrNames byName)}");
      app = cc.fill (import file { mkCcApp = given: given; });
    in
    cc.settingsOf app (cc.valuesOf app values);
}
