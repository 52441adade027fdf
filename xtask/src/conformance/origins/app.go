// Says what it was asked: see apps.py. `app PORT`.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	answer := func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		sum := 0
		for _, b := range body {
			sum += int(b)
		}
		fmt.Fprintf(w, "saw %s %d %d\n", r.Method, len(body), sum)
	}
	panic(http.ListenAndServe("127.0.0.1:"+os.Args[1], http.HandlerFunc(answer)))
}
