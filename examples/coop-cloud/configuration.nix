# /etc/nixos/configuration.nix of a host with Co-op Cloud apps, without flakes. docs/how-to/coop-cloud-nixos.md goes through it.
{ pkgs, ... }:
let
  # A checkout of Freehold, here the one that this file is in; or `builtins.fetchGit { url = …; rev = …; }`.
  freehold = ../..;
  # Likewise; a revision that you have chosen.
  sops-nix = builtins.fetchGit {
    url = "https://github.com/Mic92/sops-nix";
    ref = "master";
  };
in
{
  imports = [
    ./hardware-configuration.nix
    (sops-nix + "/modules/sops")
    (freehold + "/nix/nixos/coop-cloud.nix")
    ./apps.nix
  ];

  nixpkgs.overlays = [ (final: _: { freehold = import (freehold + "/nix/package.nix") final; }) ];

  networking.hostName = "web1";
  networking.domain = "example.org";
  services.openssh.enable = true;

  # Encrypted to the host's own key, and to a recovery key that is kept elsewhere (`.sops.yaml`).
  sops.defaultSopsFile = ./secrets.yaml;
  sops.age.sshKeyPaths = [ "/etc/ssh/ssh_host_ed25519_key" ];

  environment.systemPackages = [ pkgs.sops ];
}
