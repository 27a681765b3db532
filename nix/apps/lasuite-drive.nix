# La Suite Drive: files, with Collabora, OnlyOffice, PostgreSQL, Redis and an S3 store of its own.
{ mkCcApp, ... }:
mkCcApp {
  recipe = "lasuite-drive";
  # The frontend's first page. Unverified.
  healthPath = "/";
  healthOk = [ 200 ];
  # Unverified.
  healthTimeout = 600;
  # Ten to twelve services; cc-ci saw Collabora boot longer than abra waits. The figure is unverified.
  timeout = 1200;
  stateful = true;

  # The recipe's own defaults have two labels (`minio.drive.…`), which a certificate for `*.example.org` does not cover.
  env =
    { domain, ... }:
    {
      MINIO_DOMAIN = "minio-${domain}";
      COLLABORA_DOMAIN = "collabora-${domain}";
    };
  # cc-ci, READY_PROBE: 200. Whoever takes the name away has it from the recipe, and it is not known here.
  probes =
    { env, ... }:
    if env.COLLABORA_DOMAIN or "" == "" then
      [ ]
    else
      [
        {
          http = {
            url = "https://${env.COLLABORA_DOMAIN}/hosting/discovery";
            expect = [ 200 ];
          };
        }
      ];
}
