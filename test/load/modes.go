package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

const tenant = "/api/v1/tenants/default/environments/"

// gateway is a document of the size that gateways have, about 2 KB.
func gateway() []byte {
	models := map[string]any{}
	for i := range 8 {
		models[fmt.Sprintf("model-%d", i)] = map[string]any{
			"provider": "provider-" + string(rune('a'+i)), "context_tokens": 200000, "output_tokens": 64000,
			"price": map[string]any{"input": 3, "output": 15, "cached_input": 0.3},
			"on":    map[string]any{"timeout": true, "rate_limited": true, "server_error": true},
		}
	}
	text, err := json.Marshal(map[string]any{"models": models, "temperature": 0.3, "max_output_tokens": 4096, "cache": map[string]any{"enabled": true}})
	if err != nil {
		panic(err) // plain maps always encode
	}
	return text
}

// send makes one request of its own connection and expects it to succeed.
func send(ctx context.Context, address string, request []byte) (answer, error) {
	w, err := dial(ctx, address)
	if err != nil {
		return answer{}, err
	}
	defer w.close()
	if err := w.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return answer{}, err
	}
	return w.must(request)
}

// runRead reads one effective document of three parts: what base says, what
// production says, and a document that it refers to.
func runRead(ctx context.Context, a *arena, o options) ([]row, error) {
	for _, layer := range []struct{ target, text string }{
		{"base/layers/load/shared", `{"endpoint":"https://api.example.com/v1"}`},
		{"base/layers/load/gateway", string(gateway())},
		{"production/layers/load/gateway", `{"temperature":0.2,"endpoint":"${config:load/shared#/endpoint}"}`},
	} {
		if _, err := send(ctx, a.server.address, request("PUT", tenant+layer.target, a.token, []byte(layer.text))); err != nil {
			return nil, err
		}
	}
	token, err := readerToken(ctx, a, o.policies)
	if err != nil {
		return nil, err
	}
	read := request("GET", tenant+"production/configs/load/gateway", token, nil)
	file, err := record(ctx, a, a.server, "read", read)
	if err != nil {
		return nil, err
	}
	bare, err := a.startBare(ctx, "read", file)
	if err != nil {
		return nil, err
	}
	defer bare.stop()
	same := func(int) next { return func(int) []byte { return read } }
	var rows []row
	for _, connections := range o.connections {
		r, err := taketurns(o.pairs,
			func() (outcome, error) { return closedLoop(ctx, a.server, connections, o, same) },
			func() (outcome, error) { return closedLoop(ctx, bare, connections, o, same) })
		if err != nil {
			return nil, err
		}
		r.name = fmt.Sprintf("effective read, %d connections", connections)
		rows = append(rows, r)
	}
	return rows, nil
}

// counter is the part of a written document that is new each time.
const counter = "0000000000"

// runWrite puts distinct documents, each write a durable change, and checks at
// the end that the last one acknowledged on each connection is what is there.
func runWrite(ctx context.Context, a *arena, o options) ([]row, error) {
	first := writes(a.token, "record", 0)
	file, err := record(ctx, a, a.server, "write", first(0))
	if err != nil {
		return nil, err
	}
	bare, err := a.startBare(ctx, "write", file)
	if err != nil {
		return nil, err
	}
	defer bare.stop()
	last := make([]int, o.writers)
	turn := 0
	requests := func(connection int) next {
		prepare := writes(a.token, strconv.Itoa(connection), turn)
		return func(n int) []byte {
			last[connection] = n
			return prepare(n)
		}
	}
	r, err := taketurns(o.pairs,
		func() (outcome, error) {
			turn++
			out, err := closedLoop(ctx, a.server, o.writers, o, requests)
			if err == nil {
				err = verify(ctx, a, turn, last)
			}
			return out, err
		},
		func() (outcome, error) { return closedLoop(ctx, bare, o.writers, o, requests) })
	r.name = fmt.Sprintf("durable single-document change, %d writers", o.writers)
	return []row{r}, err
}

// writes are PUTs of one document, each with a text that it did not have before.
func writes(token, name string, turn int) next {
	body := fmt.Sprintf(`{"model":"gpt-5-mini","temperature":0.3,"turn":%d,"n":%q,"limits":{"requests_per_minute":600,"tokens_per_minute":400000}}`, turn, counter)
	text := request("PUT", tenant+"base/layers/load/write/w"+name, token, []byte(body))
	at := bytes.Index(text, []byte(counter))
	return func(n int) []byte {
		for i := at + len(counter) - 1; i >= at; i, n = i-1, n/10 {
			text[i] = byte('0' + n%10)
		}
		return text
	}
}

// verify reads what each writer wrote last.
func verify(ctx context.Context, a *arena, turn int, last []int) error {
	w, err := dial(ctx, a.server.address)
	if err != nil {
		return err
	}
	defer w.close()
	if err := w.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	for connection, n := range last {
		if _, err := w.must(request("GET", fmt.Sprintf("%sbase/configs/load/write/w%d", tenant, connection), a.token, nil)); err != nil {
			return err
		}
		var found struct {
			Turn int    `json:"turn"`
			N    string `json:"n"`
		}
		if err := json.Unmarshal(w.body, &found); err != nil {
			return err
		}
		if want := fmt.Sprintf("%010d", n); found.Turn != turn || found.N != want {
			return fmt.Errorf("writer %d was told that its write %s of turn %d is durable, and %s of turn %d is there", connection, want, turn, found.N, found.Turn)
		}
	}
	return nil
}
