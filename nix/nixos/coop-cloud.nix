# NixOS module: all Co-op Cloud apps that Freehold knows, `services.coop-cloud.<app>`.
#
#   services.coop-cloud.ghost = {
#     enable = true;
#     domain = "blog.example.org";
#     version = "1.3.0+6.42.0-alpine";
#     autoUpdate = true;
#   };
#
# One app is one file in `../apps`; the folder is read. An app that is not enabled adds nothing. Apps of one's own:
# `lib.mkCoopCloud { extraApps = [ ./apps ]; }` of the flake (`../lib/coop-cloud.nix`).
{
  imports = [ ./coop-cloud-base.nix ] ++ (import ../lib/coop-cloud.nix).appModules;
}
