// A Query/Retrieve SCP on dcmjs-dimse, over the files of a folder.
//
// node dcmjs_archive.js PORT FOLDER TITLE=PORT ... [KEY CERTIFICATE AUTHORITY]
'use strict';
const fs = require('fs');
const net = require('net');
const path = require('path');
const dimse = require('dcmjs-dimse');
const { CEchoResponse, CFindResponse, CGetResponse, CMoveResponse } = dimse.responses;
const { PresentationContextResult, Status } = dimse.constants;

const KEYS = ['PatientID', 'StudyInstanceUID', 'SeriesInstanceUID', 'SOPInstanceUID', 'AccessionNumber', 'StudyDate', 'Modality', 'SOPClassUID'];
const LEVELS = ['PATIENT', 'STUDY', 'SERIES', 'IMAGE'];
const [port, folder, ...others] = process.argv.slice(2);
const destinations = Object.fromEntries(others.filter((text) => text.includes('=')).map((text) => text.split('=')));
const [key, cert, ca] = others.filter((text) => !text.includes('=')).map((file) => fs.readFileSync(file));
const security = key && { securityOptions: { key, cert, ca, requestCert: true, rejectUnauthorized: true } };
const held = fs.readdirSync(folder).sort().map((name) => {
  const file = path.join(folder, name);
  const elements = dimse.Dataset.fromFile(file).getElements();
  return { file, values: Object.fromEntries(KEYS.map((keyword) => [keyword, String(elements[keyword] || '')])) };
});

function match(request) {
  const elements = request.getDataset().getElements();
  const wanted = KEYS.filter((keyword) => elements[keyword] && elements[keyword] !== '*')
    .map((keyword) => [keyword, [].concat(elements[keyword]).flatMap((value) => String(value).split('\\'))]);
  return held.filter(({ values }) => wanted.every(([keyword, several]) => several.includes(values[keyword])));
}

function answerWith(kind, request, status, done = 0, failed = 0, remaining = undefined) {
  const response = kind.fromRequest(request);
  response.setStatus(status);
  response.setCompleted(done);
  response.setFailures(failed);
  response.setWarnings(0);
  if (remaining !== undefined) response.setRemaining(remaining);
  return response;
}

class Archive extends dimse.Scp {
  associationRequested(association) {
    association.getPresentationContexts().forEach(({ id }) => {
      const context = association.getPresentationContext(id);
      context.setResult(PresentationContextResult.Accept, context.getTransferSyntaxUids()[0]);
    });
    this.sendAssociationAccept();
  }

  associationReleaseRequested() {
    this.sendAssociationReleaseResponse();
  }

  cEchoRequest(request, callback) {
    const response = CEchoResponse.fromRequest(request);
    response.setStatus(Status.Success);
    callback(response);
  }

  cFindRequest(request, callback) {
    const asked = request.getDataset().getElements();
    const level = asked.QueryRetrieveLevel;
    const groups = new Map();
    for (const { values } of match(request)) {
      const unique = values[KEYS[LEVELS.indexOf(level)]];
      groups.set(unique, [...(groups.get(unique) || []), values]);
    }
    const answers = [...groups.values()].map((several) => {
      const answer = { QueryRetrieveLevel: level };
      KEYS.filter((keyword) => keyword in asked).forEach((keyword) => { answer[keyword] = several[0][keyword]; });
      if (level === 'STUDY') answer.NumberOfStudyRelatedInstances = String(several.length);
      if (level === 'SERIES') answer.NumberOfSeriesRelatedInstances = String(several.length);
      const response = CFindResponse.fromRequest(request);
      response.setDataset(new dimse.Dataset(answer));
      response.setStatus(Status.Pending);
      return response;
    });
    const final = CFindResponse.fromRequest(request);
    final.setStatus(Status.Success);
    callback([...answers, final]);
  }

  cMoveRequest(request, callback) {
    const title = request.getCommandDataset().getElements().MoveDestination.trim();
    const found = match(request);
    if (!destinations[title]) return callback([answerWith(CMoveResponse, request, 0xa801)]);
    if (!found.length) return callback([answerWith(CMoveResponse, request, Status.Success)]);
    const client = new dimse.Client();
    const answers = [];
    let done = 0;
    this.storeAll(found, (status, failed) => {
      if (status === Status.Success) done += 1;
      answers.push(answerWith(CMoveResponse, request, Status.Pending, done, failed, found.length - done - failed));
    }).forEach((store) => client.addRequest(store));
    let over = false;
    const finish = () => {
      const failed = found.length - done;
      if (!over) callback([...answers, answerWith(CMoveResponse, request, failed ? (done ? 0xb000 : 0xa702) : Status.Success, done, failed)]);
      over = true;
    };
    ['networkError', 'associationRejected', 'closed'].forEach((event) => client.on(event, finish));
    return client.send('127.0.0.1', Number(destinations[title]), 'DCMJS', title, security || {});
  }

  cGetRequest(request, callback) {
    const found = match(request);
    let done = 0;
    const finish = (failed) => callback([answerWith(CGetResponse, request, failed ? 0xb000 : Status.Success, done, failed)]);
    if (!found.length) return finish(0);
    return this.sendRequests(this.storeAll(found, (status, failed) => {
      if (status === Status.Success) done += 1;
      if (done + failed === found.length) finish(failed);
    }));
  }

  storeAll(found, tell) {
    let failed = 0;
    return found.map(({ file }) => {
      const store = new dimse.requests.CStoreRequest(file);
      store.on('response', (response) => {
        if (response.getStatus() !== Status.Success) failed += 1;
        tell(response.getStatus(), failed);
      });
      return store;
    });
  }
}

const { listen } = net.Server.prototype;
net.Server.prototype.listen = function listenHere(number, ...more) {
  return listen.call(this, number, '127.0.0.1', ...more); // the library listens on every interface
};
new dimse.Server(Archive).listen(Number(port), security || {});
