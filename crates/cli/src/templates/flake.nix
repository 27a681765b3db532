# A deployment as a flake: `freehold` finds its attribute `freehold`.
{
  description = "a Freehold deployment";

  # Inputs of the deployment (nixpkgs, applications, …) go here; `outputs` is evaluated once, however much is deployed.
  inputs = { };

  outputs =
    { self }:
    {
      freehold = import ./deployment.nix;
    };
}
