module strandline/interop/secured

go 1.21
