// Load speaks HTTP/1.1 to a unix socket over a fixed number of kept connections and tells how long it took.
// A plan comes as JSON on standard input, the figures go as JSON to standard output. `load exit` and `load hold`
// are the programs of the containers that it measures with.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Plan is a sequence of requests, sent again and again on each connection. Times are in milliseconds.
type Plan struct {
	Socket string
	// One request each; `{n}` stands for the number of the sequence, `{k}` for that modulo Kinds.
	Steps                []struct{ Method, Path, Body string }
	Connections          int
	First, Count         int64   // number of the first sequence; sequences in all, 0: as many as the time allows
	Kinds                int64   // at least 1
	Rate                 float64 // sequences a second over all connections, 0: each begins when the one before has ended
	WarmupMs, DurationMs int64   // before the first sequence that counts; after it
}

// Figures are what was measured. Latencies are those of whole sequences, in microseconds; at a fixed rate from the
// moment at which the sequence was due, so that waiting for a slow answer before it counts, too.
type Figures struct {
	Sequences          int
	Seconds, PerSecond float64
	P50, P99           float64
	Statuses, Failures map[string]int // of all requests, those before the first that counts as well
	mutex              sync.Mutex
}

// Longest time of one request, and tries at a server whose queue of new connections is full.
const patience, dialTries = 120 * time.Second, 50

func (f *Figures) count(in map[string]int, key string) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	in[key]++
}

type worker struct {
	*Plan
	figures   *Figures
	conn      net.Conn
	reader    *bufio.Reader
	latencies []time.Duration
}

func (w *worker) dial() (err error) {
	for range dialTries {
		if w.conn, err = net.Dial("unix", w.Socket); !errors.Is(err, syscall.EAGAIN) {
			break
		}
		time.Sleep(time.Millisecond)
	}
	w.reader = bufio.NewReader(w.conn)
	return err
}

func (w *worker) send(method, path, body string) (int, error) {
	if w.conn == nil {
		if err := w.dial(); err != nil {
			return 0, err
		}
	}
	head := method + " " + path + " HTTP/1.1\r\nHost: berth\r\n"
	if method == "POST" {
		head += fmt.Sprintf("Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	w.conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(w.conn, head+"\r\n"+body); err != nil {
		return 0, err
	}
	answer, err := http.ReadResponse(w.reader, &http.Request{Method: method})
	if err != nil {
		return 0, err
	}
	if _, err = io.Copy(io.Discard, answer.Body); err == nil && answer.Close {
		w.conn.Close()
		w.conn = nil
	}
	return answer.StatusCode, err
}

// sequence sends the steps one after the other until one is refused. @returns whether all were answered
func (w *worker) sequence(n int64) bool {
	fill := strings.NewReplacer("{n}", strconv.FormatInt(n, 10), "{k}", strconv.FormatInt(n%w.Kinds, 10))
	for _, step := range w.Steps {
		status, err := w.send(step.Method, fill.Replace(step.Path), fill.Replace(step.Body))
		if err != nil {
			w.figures.count(w.figures.Failures, strings.ReplaceAll(err.Error(), w.Socket, "socket"))
			w.conn = nil
			time.Sleep(time.Millisecond)
			return false
		}
		w.figures.count(w.figures.Statuses, strconv.Itoa(status))
		if status >= 400 {
			break
		}
	}
	return true
}

func (w *worker) run(index int, next *atomic.Int64, begin time.Time) {
	counted := begin.Add(time.Duration(w.WarmupMs) * time.Millisecond)
	end := counted.Add(time.Duration(w.DurationMs) * time.Millisecond)
	var pace time.Duration
	if w.Rate > 0 {
		pace = time.Duration(float64(w.Connections) / w.Rate * float64(time.Second))
		begin = begin.Add(pace * time.Duration(index) / time.Duration(w.Connections))
	}
	for turn := time.Duration(0); ; turn++ {
		due := time.Now()
		if pace > 0 {
			due = begin.Add(pace * turn)
		}
		n := next.Add(1) - 1
		if due.After(end) || (w.Count > 0 && n >= w.First+w.Count) {
			return
		}
		time.Sleep(time.Until(due))
		if w.sequence(n) && !due.Before(counted) {
			w.latencies = append(w.latencies, time.Since(due))
		}
	}
}

func measure(plan *Plan) *Figures {
	total := &Figures{Statuses: map[string]int{}, Failures: map[string]int{}}
	workers := make([]worker, plan.Connections)
	for i := range workers {
		workers[i] = worker{Plan: plan, figures: total}
		if err := workers[i].dial(); err != nil {
			total.count(total.Failures, err.Error())
			return total
		}
	}
	var next atomic.Int64
	next.Store(plan.First)
	var done sync.WaitGroup
	begin := time.Now()
	for i := range workers {
		done.Go(func() { workers[i].run(i, &next, begin) })
	}
	done.Wait()
	total.Seconds = time.Since(begin).Seconds() - float64(plan.WarmupMs)/1000
	var all []time.Duration
	for _, w := range workers {
		all = append(all, w.latencies...)
	}
	slices.Sort(all)
	if total.Sequences = len(all); len(all) > 0 {
		at := func(p float64) float64 { return float64(all[int(p*float64(len(all)))].Nanoseconds()) / 1000 }
		total.PerSecond = float64(len(all)) / total.Seconds
		total.P50, total.P99 = at(0.5), at(0.99)
	}
	return total
}

func main() {
	if len(os.Args) > 1 {
		fmt.Println("berth bench", os.Args[1])
		if os.Args[1] == "hold" {
			ended := make(chan os.Signal, 1)
			signal.Notify(ended, syscall.SIGTERM)
			<-ended
		}
		return
	}
	var plan Plan
	if err := json.NewDecoder(os.Stdin).Decode(&plan); err != nil || plan.Connections < 1 || plan.Kinds < 1 {
		fmt.Fprintln(os.Stderr, "load: no plan on standard input:", err)
		os.Exit(2)
	}
	json.NewEncoder(os.Stdout).Encode(measure(&plan))
}
