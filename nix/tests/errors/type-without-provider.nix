{ eval, ... }: eval { members.page.type = "file"; }
