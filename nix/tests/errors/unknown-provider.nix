{ eval, ... }: eval { members.page.type = "locla.file"; }
