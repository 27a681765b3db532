# CryptPad: documents that the server cannot read. Stateful, without a database.
{ mkCcApp, ... }:
mkCcApp {
  recipe = "cryptpad";
  # Its first page. Unverified.
  healthPath = "/";
  healthOk = [ 200 ];
  # Unverified.
  healthTimeout = 300;
  # Unverified.
  timeout = 600;
  stateful = true;

  # cc-ci: a second host is needed, and it must be another one.
  requiredEnv = [
    {
      name = "SANDBOX_DOMAIN";
      example = "sandbox-pad.example.org";
      why = "CryptPad runs what documents bring along under a second name, so that it cannot reach the first";
      notDomain = true;
    }
  ];
  checks =
    {
      appName,
      domain,
      env,
      ...
    }:
    let
      option = "services.coop-cloud.${appName}.env.SANDBOX_DOMAIN";
    in
    [
      {
        assertion = (env.SANDBOX_DOMAIN or "") != domain;
        message = "${option} is the app's own domain, `${domain}`: CryptPad needs a second one; set `${option} = \"sandbox-${domain}\";`";
      }
    ];
}
