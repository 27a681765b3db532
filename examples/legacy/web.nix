# A mix-in of the older form, with an option of its own.
{
  config,
  lib,
  resources,
  ...
}:
{
  options.greeting = lib.mkOption {
    type = lib.types.str;
    default = "hello";
  };
  config.resources."page" = {
    type = "local.file";
    inputs = {
      path = "page.txt";
      contents = "${config.greeting}, ${resources.sshkeypair.fingerprint}\n";
    };
  };
}
