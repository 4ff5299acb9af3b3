"""Who measures units of work: this process in turn, or a Dask cluster; one batch size for all."""
