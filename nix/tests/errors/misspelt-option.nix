{ eval, ... }: eval { members."a page".tpye = "local.file"; }
