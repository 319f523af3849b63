"""Writers of the export formats: tables in, files of a draft folder out."""
