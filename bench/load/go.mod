module berth/bench/load

go 1.26
