"""The program ``spore-yolo``: a module a command; it joins the rooms."""
