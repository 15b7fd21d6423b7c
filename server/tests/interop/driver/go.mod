module strandline/interop/driver

go 1.24
