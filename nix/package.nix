# The program `freehold`, from this tree, for a nixpkgs: `import ./nix/package.nix pkgs`. The flake's packages are this; so is
# `pkgs.freehold` of a configuration without flakes (`examples/coop-cloud`).
pkgs:
let
  workspace = (builtins.fromTOML (builtins.readFile ../Cargo.toml)).workspace;
in
pkgs.rustPlatform.buildRustPackage {
  pname = "freehold";
  inherit (workspace.package) version;
  src = pkgs.lib.fileset.toSource {
    root = ../.;
    fileset = pkgs.lib.fileset.unions [
      ../Cargo.toml
      ../Cargo.lock
      ../crates
      ../providers
      ../xtask
      ../nix
      ../examples
    ];
  };
  cargoLock.lockFile = ../Cargo.lock;
  cargoBuildFlags = [
    "--package"
    "freehold-cli"
    "--bin"
    "freehold"
  ];
  # The tests want several versions of Nix and an S3 server: `./x test` runs them.
  doCheck = false;
  meta = {
    description = "Plans and applies deployments of resources written in Nix";
    license = with pkgs.lib.licenses; [
      mit
      asl20
    ];
    mainProgram = "freehold";
  };
}
