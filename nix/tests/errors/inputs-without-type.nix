{ eval, ... }: eval { members.page.inputs.path = "p"; }
