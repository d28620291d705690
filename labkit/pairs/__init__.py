"""Pictures with texts: MUSTI, captioned folders, the picture world in MUSTI's format; fetching, splitting."""
